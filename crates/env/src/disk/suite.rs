//! What every disk does alike: run against the machine's and the simulated ones.

use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;

use super::Disk;

/// Checks the contract of [`Disk`] and [`super::File`] in the empty directory `dir`, with a disk that
/// does not fail by itself.
///
/// # Panics
/// Where the contract is broken.
pub fn check(disk: &Disk, dir: &Path) -> io::Result<()> {
    names(disk, &dir.join("names"))?;
    content(disk, &dir.join("content"))?;
    maps(disk, &dir.join("maps"))?;
    locks(disk, &dir.join("locks"))?;
    zeros(disk, &dir.join("zeros"))?;
    let space = disk.space(dir)?;
    assert!(space.free > 0 && space.free <= space.total, "{space:?}");
    assert_eq!(disk.boot_id()?, disk.boot_id()?);
    Ok(())
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// Creating, listing, renaming and removing.
fn names(disk: &Disk, dir: &Path) -> io::Result<()> {
    let path = |name: &str| dir.join(name);
    assert!(!disk.exists(dir)?);
    assert_eq!(kind(disk.list(dir)), Some(ErrorKind::NotFound));
    assert_eq!(kind(disk.create(&path("a"))), Some(ErrorKind::NotFound));
    disk.create_dir_all(&path("deep/er"))?;
    disk.create_dir_all(&path("deep/er"))?;
    assert_eq!(kind(disk.open(&path("a"))), Some(ErrorKind::NotFound));
    disk.create(&path("a"))?.write_at(b"one", 0)?;
    disk.create(&path("a"))?.write_at(b"w", 1)?;
    assert_eq!(disk.open(&path("a"))?.len()?, 3, "create keeps the content");
    disk.create(&path("b"))?;
    let names = |dir: &Path| -> io::Result<Vec<(String, u64, bool)>> {
        Ok(disk.list(dir)?.into_iter().map(|entry| (entry.name, entry.len, entry.is_dir)).collect())
    };
    let entry = |name: &str, len, is_dir| (name.to_owned(), len, is_dir);
    assert_eq!(names(dir)?, [entry("a", 3, false), entry("b", 0, false), entry("deep", 0, true)]);
    assert!(disk.list(dir)?[0].modified_ms > 1_000_000_000_000);

    disk.rename(&path("a"), &path("b"))?;
    assert_eq!(names(dir)?, [entry("b", 3, false), entry("deep", 0, true)]);
    assert_eq!(kind(disk.rename(&path("a"), &path("c"))), Some(ErrorKind::NotFound));
    disk.rename(&path("b"), &path("deep/er/b"))?;
    disk.sync_dir(&path("deep/er"))?;
    disk.sync_dir(dir)?;
    assert_eq!(kind(disk.remove(&path("deep/er"))), Some(ErrorKind::DirectoryNotEmpty));
    disk.rename(&path("deep"), &path("moved"))?;
    assert_eq!(names(&path("moved/er"))?, [entry("b", 3, false)]);

    let open = disk.open(&path("moved/er/b"))?;
    disk.remove(&path("moved/er/b"))?;
    assert_eq!(kind(disk.remove(&path("moved/er/b"))), Some(ErrorKind::NotFound));
    let mut buf = [0; 3];
    open.read_exact_at(&mut buf, 0)?;
    assert_eq!(&buf, b"owe", "an open file outlives its name");
    disk.remove(&path("moved/er"))?;
    assert_eq!(names(&path("moved"))?, []);
    Ok(())
}

/// Reading, writing, lengths.
fn content(disk: &Disk, dir: &Path) -> io::Result<()> {
    disk.create_dir_all(dir)?;
    let file = disk.create(&dir.join("file"))?;
    let mut buf = [1; 8];
    assert_eq!(file.read_at(&mut buf, 0)?, 0);
    file.write_at(b"abc", 5)?;
    assert_eq!((file.len()?, file.read_at(&mut buf, 0)?), (8, 8));
    assert_eq!(&buf, b"\0\0\0\0\0abc", "what was never written reads as zeros");
    assert_eq!(file.read_at(&mut buf, 6)?, 2);
    assert_eq!(file.read_at(&mut buf, 100)?, 0);
    assert_eq!(kind(file.read_exact_at(&mut buf, 1)), Some(ErrorKind::UnexpectedEof));

    let many: Vec<Vec<u8>> = (0..1500u32).map(|i| i.to_le_bytes().to_vec()).collect();
    let slices: Vec<IoSlice<'_>> = many.iter().map(|bytes| IoSlice::new(bytes)).collect();
    file.write_vectored_at(&slices, 10)?;
    let mut all = vec![0; 6000];
    file.read_exact_at(&mut all, 10)?;
    assert_eq!(all, many.concat(), "more buffers than one call takes");
    file.write_vectored_at(&[], 7)?;
    assert_eq!(file.len()?, 6010);

    file.set_len(7)?;
    file.set_len(9)?;
    assert_eq!(file.read_at(&mut buf, 0)?, 8);
    assert_eq!(&buf, b"\0\0\0\0\0ab\0", "a cut file grows by zeros");
    file.allocate(100_000)?;
    file.allocate(10)?;
    assert_eq!(file.len()?, 100_000, "allocate never shortens");
    file.sync_data()?;
    file.start_writeback(0, 100_000)?;
    assert_eq!(
        file.read_resident(&mut buf[..2], 5)?,
        Some(2),
        "what was just written is in memory"
    );
    assert_eq!(&buf[..2], b"ab");
    file.drop_cache(0, 100_000)?;
    file.read_exact_at(&mut buf[..2], 5)?;
    assert_eq!(&buf[..2], b"ab", "dropping the cache drops no data");
    Ok(())
}

/// Maps show the file as it is.
fn maps(disk: &Disk, dir: &Path) -> io::Result<()> {
    disk.create_dir_all(dir)?;
    let path = dir.join("file");
    let file = disk.create(&path)?;
    assert!(file.map(0)?.is_empty());
    assert_eq!(kind(file.map(1)), Some(ErrorKind::InvalidInput), "a map ends where the file ends");
    file.allocate(1 << 20)?;
    let map = file.map(1 << 20)?;
    assert_eq!(map.len(), 1 << 20);
    file.write_at(b"later", 5000)?;
    assert_eq!(&map.slice(4999..5006)[..], b"\0later\0", "a map shows what is written after it");
    assert!(map.resident(4999..5006), "what was just written is in memory");
    assert!(map.resident(7..7), "nothing is always there");
    disk.remove(&path)?;
    let slice = map.clone().slice(5000..5005);
    drop((map, file));
    assert_eq!(&slice[..], b"later", "a slice outlives map, file and name");
    Ok(())
}

/// One holder at a time, also within one process.
fn locks(disk: &Disk, dir: &Path) -> io::Result<()> {
    disk.create_dir_all(dir)?;
    let path = dir.join("lock");
    let held = disk.lock(&path)?;
    assert!(disk.exists(&path)?);
    assert_eq!(kind(disk.lock(&path)), Some(ErrorKind::WouldBlock));
    assert_eq!(
        kind(disk.lock(&path)),
        Some(ErrorKind::WouldBlock),
        "a refused try does not unlock"
    );
    let other = disk.lock(&dir.join("other"))?;
    drop(held);
    drop(disk.lock(&path)?);
    drop(other);

    let held = disk.lock_dir(dir)?;
    assert_eq!(kind(disk.lock_dir(dir)), Some(ErrorKind::WouldBlock));
    drop(disk.lock(&path)?);
    drop(held);
    drop(disk.lock_dir(dir)?);
    assert_eq!(disk.list(dir)?.len(), 2, "locking a directory leaves nothing in it");
    Ok(())
}

/// Zeros go where they are asked for, and the file keeps its length.
fn zeros(disk: &Disk, dir: &Path) -> io::Result<()> {
    disk.create_dir_all(dir)?;
    let file = disk.create(&dir.join("file"))?;
    file.write_at(&[7; 10_000], 0)?;
    let map = file.map(10_000)?;
    file.zero(10, 8_000)?;
    file.zero(9_990, 100)?;
    file.zero(20_000, 1)?;
    assert_eq!(file.len()?, 10_000);
    let mut want = vec![7; 10_000];
    want[10..8_010].fill(0);
    want[9_990..].fill(0);
    let mut all = vec![1; 10_000];
    file.read_exact_at(&mut all, 0)?;
    assert!(all == want && map.slice(0..10_000) == want[..]);
    Ok(())
}
