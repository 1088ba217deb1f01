import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;

/**
 * The scenario's side of the conversation with the recorder, over standard input and output.
 *
 * <pre>
 * want CODE ANSWER VARIANT    an exchange that the next step causes; ANSWER is a response code, "oneway", "pushed",
 *                             or "client:CODE" where the server asks and the client answers
 * begin                       recorder answers "go"
 * end                         recorder looks for what was wanted and answers "go"
 * </pre>
 */
final class Session {
    interface Action {
        void run() throws Exception;
    }

    private final PrintStream out = System.out;
    private final BufferedReader in = new BufferedReader(new InputStreamReader(System.in));

    Session() {
        // Whatever the client libraries print must not reach the recorder.
        System.setOut(System.err);
    }

    /** Announces an exchange of the next step that becomes a fixture. */
    Session want(int code, Object answer, String variant) {
        out.println("want " + code + " " + answer + " " + variant);
        return this;
    }

    /** Runs the step; an exception that the reference's answer causes in the client is part of it. */
    void step(Action action) throws Exception {
        say("begin");
        try {
            action.run();
        } catch (Exception expected) {
            System.err.println("step ended with " + expected);
        }
        say("end");
    }

    /** A step with one exchange. */
    void record(int code, Object answer, String variant, Action action) throws Exception {
        want(code, answer, variant).step(action);
    }

    private void say(String word) throws Exception {
        out.println(word);
        out.flush();
        if (!"go".equals(in.readLine())) {
            throw new IllegalStateException("the recorder is gone");
        }
    }
}
