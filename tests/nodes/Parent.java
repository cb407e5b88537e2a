import java.io.Closeable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;

/** What every launcher owes the process that started it: read its settings, say the port, die with it. */
final class Parent {
    private Parent() {}

    /** {@code ["path.data=/tmp/x"] -> {"path.data": "/tmp/x"}} */
    static Map<String, String> settings(String[] arguments) {
        Map<String, String> settings = new TreeMap<>();
        for (String argument : arguments) {
            int equals = argument.indexOf('=');
            settings.put(argument.substring(0, equals), argument.substring(equals + 1));
        }
        return settings;
    }

    /** The node picked a free port itself, so that no two nodes race for one. Written whole or not at all. */
    static void tellPort(int port) throws IOException {
        Path file = Path.of(System.getProperty("stair.port.file"));
        Path half = Path.of(file + ".half");
        Files.writeString(half, Integer.toString(port));
        Files.move(half, file, StandardCopyOption.ATOMIC_MOVE);
    }

    /** Ends this process when its standard input ends: the tests were stopped, be it by {@code kill -9}. */
    static void dieWithIt() {
        if (!Boolean.getBoolean("stair.dies.with.parent")) {
            return;
        }
        Thread watch = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {}
            } catch (IOException gone) {
                // as good as the end
            }
            Runtime.getRuntime().halt(0); // the data is a test's: nothing to flush
        }, "die-with-parent");
        watch.setDaemon(true);
        watch.start();
    }

    /** Stopped with a plain {@code kill}, a node closes its indices; it does not return before. */
    static void stayUntilKilled(Closeable node) throws InterruptedException {
        CountDownLatch closed = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (IOException late) {
                late.printStackTrace();
            }
            closed.countDown();
        }));
        closed.await();
    }
}
