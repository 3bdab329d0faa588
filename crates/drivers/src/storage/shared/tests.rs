use std::{fs, path::Path};

use lifeboat_model::{Epoch, Generation, VolumeName};
use lifeboat_ports::conformance::storage::{self, UnderTest};
use tempfile::TempDir;

use super::*;

fn volume(name: &str) -> VolumeSpec {
    let array = ArrayName::new("shelf").unwrap();
    VolumeSpec { name: VolumeName::new(name).unwrap(), array, size_gib: 0, file: None }
}

fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

fn array(directory: &Path) -> Arc<dyn StorageArray> {
    Arc::new(SharedDirectory::new(ArrayName::new("shelf").unwrap(), directory.to_str().unwrap()).unwrap())
}

fn fresh() -> (UnderTest, Arc<TempDir>) {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let volumes: Vec<VolumeSpec> = (0..9).map(|number| volume(&format!("v{number}"))).collect();
    for volume in &volumes {
        fs::write(directory.path().join(volume.file_name()), b"data").unwrap();
    }
    let under = UnderTest {
        array: array(directory.path()),
        volumes,
        missing: volume("missing"),
        hosts: ["h1", "h2", "h3"].map(host).to_vec(),
        stranger: None,
        guard: Box::new(Arc::clone(&directory)),
    };
    (under, directory)
}

const ORDER: MapOrder = MapOrder { epoch: Epoch(1), generation: Generation(1) };

#[tokio::test]
async fn it_keeps_the_contract_of_an_array() {
    storage::run(async || fresh().0).await;
    let (first, directory) = fresh();
    storage::outlives(first, async || array(directory.path())).await;
}

#[tokio::test]
async fn an_old_order_is_refused_after_a_restart_though_nothing_is_mapped() {
    let (first, directory) = fresh();
    let (volume, h1) = (&first.volumes[0], &first.hosts[0]);
    let later = MapOrder { epoch: Epoch(4), generation: Generation(2) };
    first.array.map(volume, h1, ORDER).await.unwrap();
    first.array.unmap(volume, h1, later).await.unwrap();
    let second = array(directory.path());
    let refused = second.map(volume, h1, ORDER).await;
    assert!(matches!(refused, Err(StorageError::OldOrder { newest, .. }) if newest == later), "{refused:?}");
    let path = directory.path().join("v0.raw").to_str().unwrap().to_owned();
    assert_eq!(second.map(volume, h1, later).await.unwrap().path, VolumePath::File { path });
    assert!(!second.cuts_writes());
}

#[tokio::test]
async fn two_controllers_never_give_a_volume_to_two_hosts() {
    let (first, directory) = fresh();
    let second = array(directory.path());
    for volume in &first.volumes {
        let (one, two) =
            tokio::join!(first.array.map(volume, &first.hosts[0], ORDER), second.map(volume, &first.hosts[1], ORDER));
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    }
}

#[tokio::test]
async fn a_damaged_record_is_told_and_left_alone() {
    let (under, directory) = fresh();
    let (volume, h1) = (&under.volumes[0], &under.hosts[0]);
    under.array.map(volume, h1, ORDER).await.unwrap();
    let record = directory.path().join(".lifeboat/v0.json");
    let whole = fs::read_to_string(&record).unwrap();
    for text in [&whole[..whole.len() - 1], "", "[]", r#"{"host":"../x"}"#, r#"{"host":null,"new":1}"#] {
        fs::write(&record, text).unwrap();
        let outcomes = [
            under.array.map(volume, h1, ORDER).await.err(),
            under.array.unmap(volume, h1, ORDER).await.err(),
            under.array.mappings().await.err(),
        ];
        for error in outcomes {
            let error = error.unwrap().to_string();
            assert!(error.contains("v0.json is damaged; delete it if no host"), "{error}");
        }
        assert_eq!(fs::read_to_string(&record).unwrap(), text);
    }
}

#[tokio::test]
async fn a_directory_that_is_gone_is_told() {
    let (under, directory) = fresh();
    fs::remove_dir_all(directory.path()).unwrap();
    let (volume, h1) = (&under.volumes[0], &under.hosts[0]);
    let outcomes = [under.array.map(volume, h1, ORDER).await.err(), under.array.mappings().await.err()];
    for error in outcomes {
        let error = error.unwrap();
        assert!(matches!(&error, StorageError::Failed { retry: Retry::MayHelp, .. }), "{error:?}");
        assert!(error.to_string().contains("whether it is there, mounted"), "{error}");
    }
}

#[test]
fn a_directory_is_an_absolute_path() {
    let name = ArrayName::new("shelf").unwrap();
    let error = SharedDirectory::new(name, "volumes").err().unwrap();
    assert!(error.to_string().contains("`volumes` is no absolute path"), "{error}");
}
