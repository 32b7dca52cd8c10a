import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

/** A page, for the test of builds. */
public class Server {
  public static void main(String[] arguments) throws Exception {
    HttpServer server = HttpServer.create(new InetSocketAddress(8080), 0);
    server.createContext("/", exchange -> {
      byte[] page = ("Java " + Runtime.version().feature() + " says hello\n").getBytes();
      exchange.sendResponseHeaders(200, page.length);
      exchange.getResponseBody().write(page);
      exchange.close();
    });
    server.start();
  }
}
