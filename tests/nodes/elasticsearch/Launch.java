import java.lang.reflect.InvocationTargetException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginBundle;
import org.elasticsearch.plugins.PluginsLoader;

/** One Elasticsearch 8.19 or 9 node: {@code java -Des.path.home=HOME -cp HOME/classes:HOME/lib/* Launch key=value…} */
public final class Launch {
    public static void main(String[] arguments) throws Exception {
        Parent.dieWithIt();
        Path home = Path.of(System.getProperty("es.path.home"));
        System.setProperty("es.path.conf", home.resolve("config").toString());
        org.elasticsearch.common.logging.LogConfigurator.configureESLogging();
        Settings.Builder settings = Settings.builder();
        Parent.settings(arguments).forEach(settings::put);
        Environment environment = InternalSettingsPreparer.prepareEnvironment(
            settings.build(), Map.of(), home.resolve("config"), () -> "node");
        PluginsLoader plugins = PluginsLoader.createPluginsLoader(
            bundles("loadModulesBundles", home.resolve("modules")),
            bundles("loadPluginsBundles", home.resolve("plugins")), Map.of(), false);
        Node node = new Node(environment, plugins);
        node.start();
        Parent.tellPort(
            node.injector().getInstance(HttpServerTransport.class).boundAddress().publishAddress().getPort());
        Parent.stayUntilKilled(node);
    }

    /** These methods take (Path) in 8.19 and (Path, boolean) in 9.5. */
    @SuppressWarnings("unchecked")
    private static Set<PluginBundle> bundles(String method, Path folder)
        throws NoSuchMethodException, IllegalAccessException, InvocationTargetException {
        for (var candidate : PluginsLoader.class.getMethods()) {
            if (candidate.getName().equals(method)) {
                return (Set<PluginBundle>) (candidate.getParameterCount() == 1
                    ? candidate.invoke(null, folder)
                    : candidate.invoke(null, folder, false));
            }
        }
        throw new NoSuchMethodException(method);
    }
}
