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
  private val SetIds = 0xc00 // 06000 in octal.

  override def setPermission(path: Path, permission: FsPermission): Unit = {
    val file = pathToFile(path).toPath
    // As chmod does: a folder keeps whose group what is made in it belongs to.
    val kept = if (Files.isDirectory(file)) Files.getAttribute(file, "unix:mode").asInstanceOf[Int] & SetIds else 0
    Files.setAttribute(file, "unix:mode", Int.box(permission.toShort | kept))
  }

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
