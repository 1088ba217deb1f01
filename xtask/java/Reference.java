import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.net.InetAddress;
import java.util.Map;
import java.util.TreeMap;
import org.apache.rocketmq.common.utils.NetworkUtil;
import org.apache.rocketmq.remoting.protocol.RemotingSysResponseCode;
import org.apache.rocketmq.remoting.protocol.RequestCode;
import org.apache.rocketmq.remoting.protocol.ResponseCode;

/** Prints what the classes of the reference define: {@code requests}, {@code responses} or {@code settings}, tab separated. */
public final class Reference {
    private static final String[] SETTINGS = {
        "org.apache.rocketmq.common.BrokerConfig",
        "org.apache.rocketmq.common.namesrv.NamesrvConfig",
        "org.apache.rocketmq.common.ControllerConfig",
        "org.apache.rocketmq.auth.config.AuthConfig",
        "org.apache.rocketmq.remoting.netty.NettyServerConfig",
        "org.apache.rocketmq.remoting.netty.NettyClientConfig",
        "org.apache.rocketmq.store.config.MessageStoreConfig",
    };

    private static final PrintStream OUT = System.out;

    public static void main(String[] args) throws Exception {
        // The classes print about their logging as they load.
        System.setOut(System.err);
        switch (args[0]) {
            case "requests" -> constants(RequestCode.class);
            case "responses" -> constants(RemotingSysResponseCode.class, ResponseCode.class);
            case "settings" -> settings();
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    private static void constants(Class<?>... classes) throws Exception {
        Map<Integer, String> names = new TreeMap<>();
        for (Class<?> type : classes) {
            for (Field field : type.getDeclaredFields()) {
                if (Modifier.isStatic(field.getModifiers()) && field.getType() == int.class) {
                    field.setAccessible(true);
                    names.put(field.getInt(null), field.getName());
                }
            }
        }
        names.forEach((code, name) -> OUT.println(code + "\t" + name));
    }

    private static void settings() throws Exception {
        for (String name : SETTINGS) {
            Class<?> type = Class.forName(name);
            Object defaults = type.getDeclaredConstructor().newInstance();
            Map<String, String> rows = new TreeMap<>();
            for (Class<?> part = type; part != Object.class; part = part.getSuperclass()) {
                for (Field field : part.getDeclaredFields()) {
                    if (!Modifier.isStatic(field.getModifiers())) {
                        field.setAccessible(true);
                        rows.put(field.getName(), field.getType().getSimpleName() + "\t" + text(field.get(defaults)));
                    }
                }
            }
            rows.forEach((key, row) -> OUT.println(type.getSimpleName() + "\t" + key + "\t" + row));
        }
    }

    /** A default as one line; what only this machine has is named instead. */
    private static String text(Object value) throws Exception {
        String text = String.valueOf(value);
        if (text.equals(NetworkUtil.getLocalAddress())) {
            return "(host)";
        }
        if (text.equals(InetAddress.getLocalHost().getHostName())) {
            return "(host name)";
        }
        if (text.startsWith(System.getProperty("user.home"))) {
            return "(below the home directory)";
        }
        if (value != null && text.startsWith(value.getClass().getName() + "@")) {
            return "(defaults)";
        }
        return text.replace("\n", "\\n").replace("\t", "\\t");
    }
}
