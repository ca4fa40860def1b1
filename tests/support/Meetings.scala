package millstream.fault

import java.net.URI
import java.nio.file.{Path => LocalPath}

import millstream.lake.HardLinkLogStore
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{DelegateToFileSystem, Path, RawLocalFileSystem}

/** The local file system, in which two processes meet between the look at a file's new name and the rename. */
class MeetingLocalFs(uri: URI, conf: Configuration)
    extends DelegateToFileSystem(uri, MeetingFileSystem, conf, "file", false)

object MeetingFileSystem extends RawLocalFileSystem {
  override def rename(source: Path, target: Path): Boolean = {
    Meeting.take()
    super.rename(source, target)
  }
}

/** The lake's log store, in which two processes meet with a whole entry each, before they link it. */
class MeetingLogStore(conf: Configuration) extends HardLinkLogStore(conf) {
  override protected def putIfAbsent(aside: LocalPath, target: LocalPath): Unit = {
    Meeting.take()
    super.putIfAbsent(aside, target)
  }
}
