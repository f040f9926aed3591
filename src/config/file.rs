//! Reading a small file that a user named, which may be anything: a folder, a device, a disk image.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::Mistake;

/// The most octets a configuration or key file may have. The largest sensible one has a few
/// kilobytes; a limit keeps `/dev/zero` from filling the memory.
const FILE_LEN_MAX: usize = 1 << 20;

/// The file and its contents, which are wiped when dropped because they may be a key.
pub(super) fn read(path: &Path) -> io::Result<(File, Zeroizing<Vec<u8>>)> {
    let file = File::open(path)?;
    // Room from the start: a vector that grew would leave unwiped copies behind. A plain file says how
    // long it is, and a little more lets its end be seen; wiping a megabyte for it would take longer
    // than all else. What else it may be can have anything.
    let len = match file.metadata()? {
        metadata if metadata.is_file() => metadata.len().min(FILE_LEN_MAX as u64) as usize + 64,
        _ => FILE_LEN_MAX + 1,
    };
    let mut octets = Zeroizing::new(Vec::with_capacity(len));
    (&file).take(FILE_LEN_MAX as u64 + 1).read_to_end(&mut octets)?;
    if octets.len() > FILE_LEN_MAX {
        return Err(io::Error::other("it has more than 1 MiB, so it is something else"));
    }
    Ok((file, octets))
}

/// Whether it is something else than a file, as `<(command)` is: it would give its contents once, and
/// have a second reader wait.
pub(super) fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file())
}

/// What is said of something else than a file, where it is to be read again.
pub(super) fn not_read_again(path: &Path) -> Mistake {
    let text = format!("{} is no file that could be read again: restart instead", path.display());
    Mistake { place: None, text }
}

/// What is said of a file that could be read at the start.
pub(super) fn unreadable_again(what: &str, path: &Path, error: &io::Error) -> Mistake {
    let remedy = match error.kind() {
        ErrorKind::NotFound => "put it back",
        ErrorKind::PermissionDenied => "let the user that runs this program read it (chown)",
        _ => "mend it",
    };
    let text = format!(
        "the {what} {} cannot be read any more: {error}; {remedy}, and send SIGHUP again",
        path.display()
    );
    Mistake { place: None, text }
}

/// The contents without the mark that some editors put in front of UTF-8.
pub(super) fn without_byte_order_mark(octets: &[u8]) -> &[u8] {
    octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets)
}

/// The lines that say something, with their numbers and without the white space round them: none that are
/// empty, and no remarks. They are octets, because a remark may be in any encoding.
pub(super) fn lines(octets: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = without_byte_order_mark(octets).split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii);
    (1..).zip(lines).filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
}
