package boathouse.spark;

import org.apache.spark.sql.SparkSessionExtensions;
import scala.runtime.AbstractFunction1;
import scala.runtime.AbstractFunction2;
import scala.runtime.BoxedUnit;

/**
 * Spark's extension point for the catalog's statements: what {@link CatalogParser} knows is asked of the control plane,
 * all else is parsed as ever. {@link DriverProperties} names it, before all others: so it stands on Spark's own parser.
 */
public final class CatalogExtension extends AbstractFunction1<SparkSessionExtensions, BoxedUnit> {
    @Override
    @SuppressWarnings({"unchecked", "rawtypes"})
    public BoxedUnit apply(SparkSessionExtensions extensions) {
        // Releases of Spark name the session's class differently: the erased function fits all of them.
        extensions.injectParser((scala.Function2) new Parsers());
        return BoxedUnit.UNIT;
    }

    private static final class Parsers extends AbstractFunction2<Object, Object, Object> {
        @Override
        public Object apply(Object session, Object sparksOwn) {
            return new CatalogParser(session);
        }
    }
}
