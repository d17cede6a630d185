// SPDX-License-Identifier: Apache-2.0
package interop;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.Comparator;

/** Runs each method whose name begins with "test" and prints one line for it. An argument is a part
 * of the names to run. */
public final class Main {
  private static final Class<?>[] SUITES = {ConnectionTests.class, RoutingTests.class,
      PublishTests.class, QueueTests.class, ConsumeTests.class, TxTests.class, RpcTests.class};

  public static void main(String[] arguments) throws Exception {
    String only = arguments.length > 0 ? arguments[0] : "";
    int failed = 0;
    for (Class<?> suite : SUITES) {
      Method[] methods = suite.getDeclaredMethods();
      Arrays.sort(methods, Comparator.comparing(Method::getName));
      for (Method method : methods) {
        String name = suite.getSimpleName() + "." + method.getName();
        if (method.getName().startsWith("test") && name.contains(only)) {
          failed += run(suite, method, name) ? 0 : 1;
        }
      }
    }
    System.exit(failed == 0 ? 0 : 1);
  }

  private static boolean run(Class<?> type, Method method, String name) throws Exception {
    Suite suite = (Suite) type.getDeclaredConstructor().newInstance();
    try {
      suite.setUp();
      method.invoke(suite);
      suite.tearDown();
      System.out.println("ok " + name);
      return true;
    } catch (InvocationTargetException error) {
      report(name, error.getCause());
    } catch (Exception error) {
      report(name, error);
    }
    return false;
  }

  private static void report(String name, Throwable error) {
    System.out.println("not ok " + name + ": " + error);
    error.printStackTrace(System.out);
  }

  private Main() {
  }
}
