package millstream.lake

import java.net.URI
import java.nio.file.Files

import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.local.LocalConfigKeys
import org.apache.hadoop.fs.permission.FsPermission
import org.apache.hadoop.fs.{ChecksumFs, DelegateToFileSystem, FileStatus, FsServerDefaults, LocalFileSystem, Path, RawLocalFileSystem}

/** Hadoop's `file://` (`fs.file.impl`), which starts no process.
  *
  * Without Hadoop's native library, which pyspark does not bring, it runs `chmod` for each folder, each file and
  * each checksum that it makes, and `readlink` four times for each that it renames: sixteen processes for the
  * commit of one data file and Delta's own checksum of a version.
  */
class LocalFiles extends LocalFileSystem(new RawFiles)

/** The same by Hadoop's other interface (`fs.AbstractFileSystem.file.impl`): Delta's checksums, streams' checkpoints. */
class LocalFilesOfContext(uri: URI, conf: Configuration) extends ChecksumFs(new RawFilesOfContext(uri, conf))

private class RawFiles extends RawLocalFileSystem {
  override def setPermission(path: Path, permission: FsPermission): Unit =
    Files.setAttribute(pathToFile(path).toPath, "unix:mode", Int.box(permission.toShort))

  override def getFileLinkStatus(path: Path): FileStatus =
    if (Files.isSymbolicLink(pathToFile(path).toPath)) super.getFileLinkStatus(path) else getFileStatus(path)
}

/** As `org.apache.hadoop.fs.local.RawLocalFs`, which takes no file system but its own. */
private class RawFilesOfContext(uri: URI, conf: Configuration)
    extends DelegateToFileSystem(uri, new RawFiles, conf, "file", false) {
  override def getUriDefaultPort: Int = -1
  override def getServerDefaults(path: Path): FsServerDefaults = LocalConfigKeys.getServerDefaults
  override def getServerDefaults: FsServerDefaults = LocalConfigKeys.getServerDefaults
  override def isValidName(name: String): Boolean = true
}
