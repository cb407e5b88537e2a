import java.nio.file.Path;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.http.HttpServerTransport;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;

/** One OpenSearch node: {@code java -Dopensearch.path.home=HOME -cp HOME/classes:HOME/lib/* Launch key=value…} */
public final class Launch {
    public static void main(String[] arguments) throws Exception {
        Parent.dieWithIt();
        Path config = Path.of(System.getProperty("opensearch.path.home"), "config");
        Settings.Builder settings = Settings.builder();
        Parent.settings(arguments).forEach(settings::put);
        Environment environment =
            InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), config, () -> "node");
        Node node = new Node(environment);
        node.start();
        Parent.tellPort(
            node.injector().getInstance(HttpServerTransport.class).boundAddress().publishAddress().getPort());
        Parent.stayUntilKilled(node);
    }
}
