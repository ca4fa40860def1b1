package millstream.lake

import java.io.BufferedOutputStream
import java.net.URI
import java.nio.channels.{Channels, FileChannel}
import java.nio.charset.StandardCharsets.UTF_8
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import java.nio.file.StandardOpenOption.{CREATE_NEW, READ, WRITE}
import java.nio.file.{Files, Path => LocalPath, Paths}
import java.util.{Iterator => JavaIterator}

import scala.jdk.CollectionConverters._

import io.delta.storage.HadoopFileSystemLogStore
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.Path
import org.apache.spark.sql.delta.actions.{Action, AddCDCFile, AddFile}
import org.apache.spark.sql.delta.actions.DeletionVectorDescriptor.INLINE_DV_MARKER

/** Delta's log in a local folder that several processes write.
  *
  * An entry is written aside, forced to the disk and linked to its name. The link fails when the name is taken,
  * in whichever process: Delta then tries the next version. Delta's own store looks for the name and renames,
  * which are two steps, and a rename replaces. Hadoop's checksum files are left out, because a file and its
  * checksum cannot be replaced in one step.
  *
  * The data files that an entry names are forced first: else a power cut could leave a version whose rows are
  * gone, where it would have left the version before.
  */
class HardLinkLogStore(conf: Configuration) extends HadoopFileSystemLogStore(conf) {

  private val Version = "\"version\":([0-9]+)".r

  /** @throws java.nio.file.FileAlreadyExistsException if `path` is there, unless `overwrite` */
  override def write(
      path: Path,
      actions: JavaIterator[String],
      overwrite: java.lang.Boolean,
      hadoopConf: Configuration): Unit = {
    val target = local(path)
    val aside = local(createTempPath(path))
    val lines = actions.asScala.toSeq
    try {
      forceData(lines.flatMap(dataFiles(path.getParent.getParent, _)))
      writeForced(aside, lines)
      if (overwrite) replace(aside, target, lines) else putIfAbsent(aside, target)
      // Until the folder is on the disk too, a power cut may take the name back.
      forceThere(target.getParent)
    } finally Files.deleteIfExists(aside)
  }

  /** Checkpoints are written by others than this store: so Delta writes them aside and renames them. */
  override def isPartialWriteVisible(path: Path, hadoopConf: Configuration): java.lang.Boolean = true

  protected def putIfAbsent(aside: LocalPath, target: LocalPath): Unit = Files.createLink(target, aside)

  /** `_last_checkpoint`: the checkpoint that it names is forced first, else a power cut could leave an empty one. */
  private def replace(aside: LocalPath, target: LocalPath, lines: Seq[String]): Unit = {
    Version.findFirstMatchIn(lines.mkString).foreach { found =>
      val name = f"${found.group(1).toLong}%020d.checkpoint"
      val files = Files.list(target.getParent)
      try files.iterator.asScala.filter(_.getFileName.toString.startsWith(name)).foreach(forceThere)
      finally files.close()
    }
    Files.move(aside, target, ATOMIC_MOVE)
    // Of a lake that Delta's own store has written: it would be of other content now.
    Files.deleteIfExists(target.resolveSibling(s".${target.getFileName}.crc"))
  }

  private def local(path: Path): LocalPath = Paths.get(path.toUri.getPath)

  private def writeForced(file: LocalPath, lines: Seq[String]): Unit = {
    val channel = FileChannel.open(file, CREATE_NEW, WRITE)
    try {
      val stream = new BufferedOutputStream(Channels.newOutputStream(channel))
      lines.foreach(line => stream.write(s"$line\n".getBytes(UTF_8)))
      stream.flush()
      channel.force(true)
    } finally channel.close()
  }

  private def dataFiles(table: Path, line: String): Seq[Path] =
    if (!line.startsWith("{\"add\":") && !line.startsWith("{\"cdc\":")) Seq.empty
    else
      Action.fromJson(line) match {
        case add: AddFile =>
          val deleted = Option(add.deletionVector).filter(_.storageType != INLINE_DV_MARKER).map(_.absolutePath(table))
          new Path(table, new Path(new URI(add.path))) +: deleted.toSeq
        case change: AddCDCFile => Seq(new Path(table, new Path(new URI(change.path))))
        case _ => Seq.empty
      }

  /** The files and the folders that they are in; a clone names files of another storage, too. */
  private def forceData(files: Seq[Path]): Unit = {
    val present = files
      .filter(file => Option(file.toUri.getScheme).forall(_ == "file"))
      .map(local)
      .filter(Files.exists(_))
    (present ++ present.map(_.getParent).distinct).foreach(forceThere)
  }

  private def forceThere(place: LocalPath): Unit = {
    val channel = FileChannel.open(place, READ)
    try channel.force(true)
    finally channel.close()
  }
}
