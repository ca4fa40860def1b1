"""Options of the Java machines that tests start."""

# For one that lives some minutes the second compiler costs more than it saves (measured: 400 s to 239 s).
# Without it Java takes itself for a small client and keeps 48 MiB of compiled code; Spark has more, and what
# was thrown out is compiled again (measured: a sixth of the processor time).
SHORT_LIVED = "-XX:-UsePerfData -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:MetaspaceSize=256m"
