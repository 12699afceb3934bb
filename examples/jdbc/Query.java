// Queries with JDBC and org.apache.arrow:flight-sql-jdbc-driver, through `tidemark flight`:
//
//   java --add-opens=java.base/java.nio=ALL-UNNAMED -cp flight-sql-jdbc-driver-18.3.0.jar Query.java
//
// DBeaver, Tableau and other programs use the same address. The tests send the calls of the driver and do not run it.

import java.sql.DriverManager;
import java.sql.SQLException;

class Query {
    public static void main(String[] arguments) throws SQLException {
        var port = System.getenv().getOrDefault("FLIGHT_PORT", "8788");
        // The driver sends all other options with every call. Do not set `catalog`, which needs sessions.
        var options = "useEncryption=false&database=demo&token=" + System.getenv("TIDEMARK_TOKEN");
        var address = "jdbc:arrow-flight-sql://127.0.0.1:" + port + "?" + options;
        try (var connection = DriverManager.getConnection(address);
                var asking = connection.prepareStatement("SELECT time, level FROM tide WHERE harbour = ? ORDER BY time")) {
            asking.setString(1, "Bergen");
            try (var rows = asking.executeQuery()) {
                while (rows.next()) System.out.println(rows.getTimestamp("time") + " " + rows.getDouble("level"));
            }
        }
    }
}
