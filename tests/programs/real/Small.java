// SPDX-License-Identifier: GPL-2.0-only
// Threads, compiled code, files, a child and a null pointer (which is a fault that the machine handles itself).
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;

public class Small {
    static int hot(int n) { int a = 0; for (int i = 0; i < n; i++) a = (a + i * i) % 65521; return a; }
    static class Box { int value; }

    public static void main(String[] arguments) throws Exception {
        Path hello = Path.of(System.getenv("R"), "hello.txt");
        System.out.println(Files.readString(hello).substring(0, 5));
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<Integer>> results = new ArrayList<>();
        for (int i = 0; i < 16; i++) {
            int n = 100000 + i;
            results.add(pool.submit(() -> hot(n) + (Files.readAllBytes(hello).length > 5 ? 1 : 0)));
        }
        for (Future<Integer> result : results) System.out.println(result.get());
        pool.shutdown();
        int caught = 0;
        for (int i = 0; i < 20000; i++) {
            Box box = i % 3 == 0 ? null : new Box();
            try { caught += box.value; } catch (NullPointerException e) { caught++; }
        }
        System.out.println(caught);
        Process child = new ProcessBuilder("head", "-c", "5", hello.toString()).start();
        System.out.println(new String(child.getInputStream().readAllBytes()) + child.waitFor());
        List<byte[]> garbage = new ArrayList<>();
        for (int i = 0; i < 2000; i++) { garbage.add(new byte[10000]); if (garbage.size() > 100) garbage.clear(); }
        System.gc();
        System.exit(11);
    }
}
