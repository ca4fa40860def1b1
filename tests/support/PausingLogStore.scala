package millstream.fault

import java.io.IOException
import java.nio.file.{Files, Path => LocalPath, Paths}
import java.util.{Iterator => JavaIterator}

import millstream.lake.HardLinkLogStore
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.Path

/** The lake's log store, which stops where a test asks it to: in the folder `millstream.fault.dir`, a file
  * `arm` says "before|after|lost <part of the log entry's path>". Once there it makes the file `reached`; then
  * it waits to be killed, or (`lost`) reports a commit that has landed as failed.
  */
class PausingLogStore(conf: Configuration) extends HardLinkLogStore(conf) {
  private val folder = Paths.get(System.getProperty("millstream.fault.dir"))

  override def write(
      path: Path,
      actions: JavaIterator[String],
      overwrite: java.lang.Boolean,
      hadoopConf: Configuration): Unit = {
    if (armed("before", path)) stop()
    super.write(path, actions, overwrite, hadoopConf)
    if (armed("after", path)) stop()
    if (armed("lost", path)) {
      reached()
      throw new IOException(s"the reply to $path was lost")
    }
  }

  private def armed(point: String, path: Path): Boolean = {
    val file: LocalPath = folder.resolve("arm")
    Files.exists(file) && {
      val Array(wanted, part) = Files.readString(file).trim.split(" ", 2): @unchecked
      wanted == point && path.getName.endsWith(".json") && path.toString.contains(part)
    }
  }

  private def reached(): Unit = {
    Files.delete(folder.resolve("arm"))
    Files.createFile(folder.resolve("reached"))
  }

  private def stop(): Unit = {
    reached()
    while (true) Thread.sleep(1000)
  }
}
