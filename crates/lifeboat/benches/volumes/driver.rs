//! The driver, all volumes at once.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use lifeboat_drivers::storage::NbdArray;
use lifeboat_model::{ArrayName, Epoch, Generation, HostName};
use lifeboat_ports::{MapOrder, StorageArray as _};

use super::{Failure, Storage};

pub struct Driver {
    array: NbdArray,
    hosts: [HostName; 2],
    storage: Storage,
}

impl Driver {
    /// All volumes are mapped to the first host.
    pub async fn new(storage: Storage) -> Result<Self, Failure> {
        let hosts = [HostName::new("h1")?, HostName::new("h2")?];
        let targets = storage.daemons.iter().map(|daemon| daemon.target.clone());
        let targets: BTreeMap<_, _> = hosts.iter().cloned().zip(targets).collect();
        let directory = storage.directory.to_str().ok_or("the temporary directory's path is not printable")?;
        let array = NbdArray::new(ArrayName::new("a1")?, directory, targets)?;
        let order = MapOrder { epoch: Epoch(1), generation: Generation(0) };
        try_join_all(storage.volumes.iter().map(|volume| array.map(volume, &hosts[0], order))).await?;
        Ok(Self { array, hosts, storage })
    }

    /// All volumes from one host to the other.
    pub async fn round(&mut self, to: usize, round: u64) -> Result<Duration, Failure> {
        let order = |step| MapOrder { epoch: Epoch(1), generation: Generation(2 * round + step) };
        let (array, volumes) = (&self.array, &self.storage.volumes);
        let (from, to) = (&self.hosts[1 - to], &self.hosts[to]);
        let begin = Instant::now();
        try_join_all(volumes.iter().map(|volume| async {
            array.unmap(volume, from, order(1)).await?;
            array.map(volume, to, order(2)).await
        }))
        .await?;
        Ok(begin.elapsed())
    }
}
