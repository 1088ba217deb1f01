package apogee;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/**
 * Runs commands of mqadmin one after the other in one process: each line of the standard input is
 * one, its arguments separated by tabs. After what it prints comes {@code DONE} and its number.
 */
public final class Admin {
    private Admin() {
    }

    public static void main(String[] args) throws Exception {
        // By name, as the older library has no such class to compile against.
        Class<?> startup = Class.forName("org.apache.rocketmq.tools.command.MQAdminStartup");
        Method main = startup.getMethod("main", String[].class);
        // Some commands keep a client that has ended; the next start is to make new ones.
        Field commandList = startup.getDeclaredField("SUB_COMMANDS");
        commandList.setAccessible(true);
        Thread runner = Thread.currentThread();
        Thread hurry = new Thread(() -> hurry(runner));
        hurry.setDaemon(true);
        hurry.start();
        BufferedReader commands =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String line = commands.readLine();
        for (int number = 1; line != null; number++) {
            ((List<?>) commandList.get(null)).clear();
            main.invoke(null, (Object) line.split("\t", -1));
            System.err.flush();
            Run.say("\nDONE " + number);
            line = commands.readLine();
        }
        // Threads that a command may have left do not keep the process.
        Runtime.getRuntime().halt(0);
    }

    /**
     * At the end of a command the library joins a thread that may still wait 3 s for an event of a
     * connection; an interruption makes it look whether it is to end.
     */
    private static void hurry(Thread runner) {
        while (true) {
            boolean ends = Arrays.stream(runner.getStackTrace())
                .anyMatch(frame -> frame.getClassName().endsWith(".ServiceThread")
                    && frame.getMethodName().equals("shutdown"));
            Thread[] threads = new Thread[1024];
            int count = ends ? Thread.enumerate(threads) : 0;
            for (int i = 0; i < count; i++) {
                if (threads[i].getName().startsWith("NettyEventExecutor")) {
                    threads[i].interrupt();
                }
            }
            LockSupport.parkNanos(20_000_000);
        }
    }
}
