import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.index.mapper.MapperExtrasPlugin;
import org.elasticsearch.ingest.AbstractProcessor;
import org.elasticsearch.ingest.ConfigurationUtils;
import org.elasticsearch.ingest.IngestDocument;
import org.elasticsearch.ingest.Processor;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.IngestPlugin;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.reindex.ReindexPlugin;
import org.elasticsearch.transport.Netty4Plugin;

/**
 * One Elasticsearch 7.17 node: {@code java -Des.path.home=HOME -cp HOME/classes:HOME/lib/* Launch key=value…}
 * Its plugins are on the class path: 7.17 publishes them as "-client" jars.
 */
public final class Launch extends Node {
    private Launch(Environment environment, Collection<Class<? extends Plugin>> plugins) {
        super(environment, plugins, true);
    }

    public static void main(String[] arguments) throws Exception {
        Parent.dieWithIt();
        Path config = Path.of(System.getProperty("es.path.home"), "config");
        Settings.Builder settings = Settings.builder().put("http.type", "netty4").put("transport.type", "netty4");
        Parent.settings(arguments).forEach(settings::put);
        Environment environment =
            InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), config, () -> "node");
        Node node = new Launch(
            environment,
            List.of(Netty4Plugin.class, MapperExtrasPlugin.class, ReindexPlugin.class, Processors.class)
        );
        node.start();
        Parent.tellPort(
            node.injector().getInstance(HttpServerTransport.class).boundAddress().publishAddress().getPort());
        Parent.stayUntilKilled(node);
    }

    /** Of ingest-common, which is not published for 7.17, what tests need: {@code set} and {@code drop}. */
    public static final class Processors extends Plugin implements IngestPlugin {
        @Override
        public Map<String, Processor.Factory> getProcessors(Processor.Parameters parameters) {
            return Map.of(
                "set",
                (known, tag, description, told) -> {
                    String field = ConfigurationUtils.readStringProperty("set", tag, told, "field");
                    Object value = ConfigurationUtils.readObject("set", tag, told, "value");
                    return new AbstractProcessor(tag, description) {
                        @Override
                        public IngestDocument execute(IngestDocument document) {
                            document.setFieldValue(field, value);
                            return document;
                        }

                        @Override
                        public String getType() {
                            return "set";
                        }
                    };
                },
                "drop",
                (known, tag, description, told) -> new AbstractProcessor(tag, description) {
                    @Override
                    public IngestDocument execute(IngestDocument document) {
                        return null;
                    }

                    @Override
                    public String getType() {
                        return "drop";
                    }
                }
            );
        }
    }
}
