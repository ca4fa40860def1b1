package millstream.fault

import java.nio.file.{FileAlreadyExistsException, Files, Path => LocalPath, Paths}
import java.util.Collections

import io.delta.storage.LogStore
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.Path

/** Commits entry after entry to a log, each as the next version that is free, as Delta's transactions do. An
  * entry adds a data file, whose content is its own name. Last it makes a
  * checkpoint, with `millstream.fault.checkpoint`.
  *
  * Arguments: log store (a class), log (a folder), own name, number of entries, folder of signals. It makes
  * `NAME.ready` there, begins when `go` is there, and writes each acknowledged entry to `NAME.acks`.
  */
object LogWriter {
  def main(arguments: Array[String]): Unit = {
    val Seq(storeClass, log, name, count, signals) = arguments.toSeq: @unchecked
    val conf = new Configuration()
    Option(System.getProperty("millstream.fault.fs")).foreach(conf.set("fs.AbstractFileSystem.file.impl", _))
    val store = Class.forName(storeClass).getConstructor(classOf[Configuration]).newInstance(conf)
    val acknowledged = Files.newBufferedWriter(Paths.get(signals, s"$name.acks"))
    Files.createFile(Paths.get(signals, s"$name.ready"))
    while (!Files.exists(Paths.get(signals, "go"))) Thread.sleep(1)
    var version = 0L
    for (number <- 0 until count.toInt) {
      val file = s"$name-$number"
      Files.writeString(Paths.get(log).resolveSibling(file), file)
      val entry =
        s"""{"add":{"path":"$file","partitionValues":{},"size":1,"modificationTime":0,"dataChange":true}}"""
      while (!commit(store.asInstanceOf[LogStore], log, version, entry, conf)) version += 1
      version += 1
      acknowledged.write(s"$entry\n")
      acknowledged.flush()
    }
    acknowledged.close()
    if (java.lang.Boolean.getBoolean("millstream.fault.checkpoint"))
      checkpoint(store.asInstanceOf[LogStore], log, version - 1, conf)
  }

  /** As Delta makes one: a file that nobody forces, and then its name in `_last_checkpoint`. */
  private def checkpoint(store: LogStore, log: String, version: Long, conf: Configuration): Unit = {
    Files.writeString(Paths.get(log, f"$version%020d.checkpoint.parquet"), s"checkpoint of $version")
    val named = Collections.singleton(s"""{"version":$version,"size":1}""").iterator
    store.write(new Path(s"file://$log/_last_checkpoint"), named, true, conf)
  }

  private def commit(store: LogStore, log: String, version: Long, entry: String, conf: Configuration): Boolean =
    try {
      store.write(new Path(f"file://$log/$version%020d.json"), Collections.singleton(entry).iterator, false, conf)
      true
    } catch { case _: FileAlreadyExistsException => false }
}

/** Where two processes wait for each other, once: in the folder `millstream.fault.meet`. */
object Meeting {
  private val Patience = 60000

  def take(): Unit = Option(System.getProperty("millstream.fault.meet")).foreach { folder =>
    val own: LocalPath = Paths.get(folder, ProcessHandle.current().pid().toString)
    if (!Files.exists(own)) {
      Files.createFile(own)
      val end = System.currentTimeMillis() + Patience
      while (Paths.get(folder).toFile.list().length < 2) {
        if (System.currentTimeMillis() > end) throw new IllegalStateException("the other process did not come")
        Thread.sleep(1)
      }
    }
  }
}
