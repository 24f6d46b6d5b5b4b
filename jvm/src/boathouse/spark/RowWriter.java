package boathouse.spark;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.math.BigDecimal;
import java.sql.Timestamp;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeFormatterBuilder;
import java.time.temporal.ChronoField;
import java.util.Base64;
import org.apache.spark.sql.Row;
import scala.Tuple2;
import scala.collection.Iterator;

/**
 * Writes the cells of a result as the command API shows tables: numbers and booleans as they are, decimals, dates and
 * times as text, binary as base64, structs and maps as objects, arrays as arrays, null as null.
 */
final class RowWriter {
    private static final DateTimeFormatter LOCAL = new DateTimeFormatterBuilder()
            .appendPattern("yyyy-MM-dd'T'HH:mm:ss")
            .appendFraction(ChronoField.NANO_OF_SECOND, 3, 6, true)
            .toFormatter();
    private static final DateTimeFormatter ZONED =
            new DateTimeFormatterBuilder().append(LOCAL).appendOffset("+HH:MM", "+00:00").toFormatter();

    private final JsonGenerator out;
    private final ZoneId zone;

    RowWriter(JsonGenerator out, ZoneId zone) {
        this.out = out;
        this.zone = zone;
    }

    void row(Row row) throws IOException {
        out.writeStartArray();
        for (int i = 0; i < row.length(); i++) {
            cell(row.get(i));
        }
        out.writeEndArray();
    }

    private void cell(Object value) throws IOException {
        if (value == null) {
            out.writeNull();
        } else if (value instanceof String) {
            out.writeString((String) value);
        } else if (value instanceof Integer || value instanceof Short || value instanceof Byte) {
            out.writeNumber(((Number) value).intValue());
        } else if (value instanceof Long) {
            out.writeNumber((Long) value);
        } else if (value instanceof Double || value instanceof Float) {
            floating((Number) value);
        } else if (value instanceof Boolean) {
            out.writeBoolean((Boolean) value);
        } else if (value instanceof BigDecimal) {
            out.writeString(((BigDecimal) value).toPlainString());
        } else if (value instanceof Timestamp) {
            out.writeString(ZONED.format(((Timestamp) value).toInstant().atZone(zone)));
        } else if (value instanceof Instant) {
            out.writeString(ZONED.format(((Instant) value).atZone(zone)));
        } else if (value instanceof LocalDateTime) {
            out.writeString(LOCAL.format((LocalDateTime) value));
        } else if (value instanceof byte[]) {
            out.writeString(Base64.getEncoder().encodeToString((byte[]) value));
        } else if (value instanceof Row) {
            struct((Row) value);
        } else if (value instanceof scala.collection.Map) {
            map((scala.collection.Map<?, ?>) value);
        } else if (value instanceof scala.collection.Iterable) {
            array((scala.collection.Iterable<?>) value);
        } else {
            out.writeString(value.toString());
        }
    }

    /** JSON has no NaN or infinities: they are text. A float keeps its own digits. */
    private void floating(Number value) throws IOException {
        double number = value.doubleValue();
        if (Double.isNaN(number) || Double.isInfinite(number)) {
            out.writeString(value.toString());
        } else if (value instanceof Float) {
            out.writeNumber(value.floatValue());
        } else {
            out.writeNumber(number);
        }
    }

    private void struct(Row row) throws IOException {
        if (row.schema() == null) {
            row(row);
            return;
        }
        String[] names = row.schema().fieldNames();
        out.writeStartObject();
        for (int i = 0; i < row.length(); i++) {
            out.writeFieldName(names[i]);
            cell(row.get(i));
        }
        out.writeEndObject();
    }

    private void map(scala.collection.Map<?, ?> map) throws IOException {
        out.writeStartObject();
        Iterator<?> entries = map.iterator();
        while (entries.hasNext()) {
            Tuple2<?, ?> entry = (Tuple2<?, ?>) entries.next();
            out.writeFieldName(String.valueOf(entry._1()));
            cell(entry._2());
        }
        out.writeEndObject();
    }

    private void array(scala.collection.Iterable<?> items) throws IOException {
        out.writeStartArray();
        Iterator<?> each = items.iterator();
        while (each.hasNext()) {
            cell(each.next());
        }
        out.writeEndArray();
    }
}
