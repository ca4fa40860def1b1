"""How Delta keeps its log on a local lake: by spark_jobs/scala/HardLinkLogStore.scala."""

# Which log store Delta takes for `file://`, and that of ours.
LOG_STORE_CONF = "spark.delta.logStore.file.impl"
LOG_STORE = "millstream.lake.HardLinkLogStore"
# Those of this project: its own, and those which tests derive from it.
OF_THIS_PROJECT = "millstream."
