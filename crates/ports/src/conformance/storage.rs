//! What every [`StorageArray`] must do.

use std::{any::Any, sync::Arc};

use futures::future::join_all;
use lifeboat_model::{Epoch, Generation, HostName, VolumeName, spec::VolumeSpec};

use crate::{MapOrder, Mapping, Retry, StorageArray, StorageError};

/// An array to drive, with nothing mapped, and what stands around it.
pub struct UnderTest {
    /// The array.
    pub array: Arc<dyn StorageArray>,
    /// Volumes that it can map, two at least.
    pub volumes: Vec<VolumeSpec>,
    /// A volume whose image does not exist.
    pub missing: VolumeSpec,
    /// Hosts that it knows, two at least.
    pub hosts: Vec<HostName>,
    /// A host that it does not know; none where it takes every host.
    pub stranger: Option<HostName>,
    /// Whatever must live as long: daemons, directories.
    pub guard: Box<dyn Any + Send>,
}

/// Drives arrays through everything that the contract promises. `fresh` makes one with nothing mapped each time.
///
/// # Panics
/// When an array does not keep the contract.
pub async fn run(fresh: impl AsyncFn() -> UnderTest) {
    what_is_mapped_is_listed(&fresh().await).await;
    repetitions_change_nothing(&fresh().await).await;
    one_host_at_a_time(&fresh().await).await;
    of_two_hosts_at_once_one_gets_it(&fresh().await).await;
    old_orders_are_refused(&fresh().await).await;
    a_refused_order_is_not_obeyed(&fresh().await).await;
    many_volumes_at_once(&fresh().await).await;
    what_cannot_be_is_told(&fresh().await).await;
}

/// Drives an array whose mappings outlive its process: `again` makes another one of the same array, once the first is
/// dropped.
///
/// # Panics
/// When a second controller would not know what the first one mapped.
pub async fn outlives(first: UnderTest, again: impl AsyncFnOnce() -> Arc<dyn StorageArray>) {
    map(&first, &first.volumes[0], &first.hosts[0], order(2, 5)).await;
    map(&first, &first.volumes[1], &first.hosts[1], order(2, 1)).await;
    let UnderTest { array, volumes, missing, hosts, stranger, guard } = first;
    drop(array);
    let second = UnderTest { array: again().await, volumes, missing, hosts, stranger, guard };
    let [v1, v2] = [&second.volumes[0], &second.volumes[1]];
    let [h1, h2] = [&second.hosts[0], &second.hosts[1]];
    assert_mapped(&second, &[(v1, h1), (v2, h2)]).await;
    let elsewhere = second.array.map(v1, h2, order(3, 6)).await;
    assert!(matches!(elsewhere, Err(StorageError::MappedElsewhere { host, .. }) if host == *h1), "known to be mapped");
    let old = second.array.unmap(v1, h1, order(2, 4)).await;
    assert!(matches!(old, Err(StorageError::OldOrder { .. })), "an older order is refused by who comes later: {old:?}");
    map(&second, v1, h1, order(3, 6)).await;
    unmap(&second, v1, h1, order(3, 6)).await;
    map(&second, v1, h2, order(3, 7)).await;
    assert_mapped(&second, &[(v1, h2), (v2, h2)]).await;
}

const fn order(epoch: u64, generation: u64) -> MapOrder {
    MapOrder { epoch: Epoch(epoch), generation: Generation(generation) }
}

async fn map(under: &UnderTest, volume: &VolumeSpec, host: &HostName, order: MapOrder) {
    let attachment = under.array.map(volume, host, order).await;
    let attachment = attachment.unwrap_or_else(|error| panic!("{} must map to {host}: {error}", volume.name));
    assert_eq!(attachment.volume, volume.name, "an attachment is of the volume that was asked for");
}

async fn unmap(under: &UnderTest, volume: &VolumeSpec, host: &HostName, order: MapOrder) {
    let unmapped = under.array.unmap(volume, host, order).await;
    unmapped.unwrap_or_else(|error| panic!("{} must unmap from {host}: {error}", volume.name));
}

async fn assert_mapped(under: &UnderTest, expected: &[(&VolumeSpec, &HostName)]) {
    let mut expected: Vec<Mapping> =
        expected.iter().map(|(volume, host)| Mapping { volume: volume.name.clone(), host: (*host).clone() }).collect();
    expected.sort();
    assert_eq!(under.array.mappings().await.expect("mappings"), expected, "what is mapped is listed, in order");
}

async fn what_is_mapped_is_listed(under: &UnderTest) {
    let [v1, v2] = [&under.volumes[0], &under.volumes[1]];
    let [h1, h2] = [&under.hosts[0], &under.hosts[1]];
    assert_mapped(under, &[]).await;
    map(under, v2, h1, order(1, 1)).await;
    map(under, v1, h2, order(1, 1)).await;
    assert_mapped(under, &[(v1, h2), (v2, h1)]).await;
    unmap(under, v2, h1, order(1, 1)).await;
    assert_mapped(under, &[(v1, h2)]).await;
    unmap(under, v1, h2, order(1, 2)).await;
    assert_mapped(under, &[]).await;
}

async fn repetitions_change_nothing(under: &UnderTest) {
    let (volume, host) = (&under.volumes[0], &under.hosts[0]);
    unmap(under, volume, host, order(1, 1)).await;
    let first = under.array.map(volume, host, order(1, 2)).await.expect("a map");
    for order in [order(1, 2), order(1, 2), order(1, 3), order(2, 1)] {
        let again = under.array.map(volume, host, order).await.expect("a map that is done already");
        assert_eq!(again, first, "a repetition gives the same way to the volume");
    }
    assert_mapped(under, &[(volume, host)]).await;
    for order in [order(2, 2), order(2, 2), order(2, 3)] {
        unmap(under, volume, host, order).await;
        assert_mapped(under, &[]).await;
    }
    let again = under.array.map(volume, host, order(2, 3)).await.expect("a map after an unmap");
    assert_eq!(again, first, "the way to a volume does not change");
}

async fn one_host_at_a_time(under: &UnderTest) {
    let volume = &under.volumes[0];
    let [h1, h2] = [&under.hosts[0], &under.hosts[1]];
    map(under, volume, h1, order(1, 1)).await;
    for _ in 0..2 {
        match under.array.map(volume, h2, order(1, 2)).await {
            Err(StorageError::MappedElsewhere { volume: named, host }) => {
                assert_eq!((&named, &host), (&volume.name, h1), "the volume and its host are named");
            }
            other => panic!("a volume that is mapped to {h1} must not map to {h2}: {other:?}"),
        }
        assert_mapped(under, &[(volume, h1)]).await;
    }
    unmap(under, volume, h2, order(1, 3)).await;
    assert_mapped(under, &[(volume, h1)]).await;
    unmap(under, volume, h1, order(1, 4)).await;
    map(under, volume, h2, order(1, 4)).await;
    assert_mapped(under, &[(volume, h2)]).await;
}

async fn of_two_hosts_at_once_one_gets_it(under: &UnderTest) {
    let volume = &under.volumes[0];
    for round in 1..=5 {
        let order = order(1, round);
        let tries = under.hosts.iter().map(|host| under.array.map(volume, host, order));
        let outcomes = join_all(tries).await;
        let winners: Vec<&HostName> =
            under.hosts.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(host, _)| host).collect();
        assert_eq!(winners.len(), 1, "one host gets the volume: {outcomes:?}");
        assert_mapped(under, &[(volume, winners[0])]).await;
        unmap(under, volume, winners[0], order).await;
    }
}

async fn old_orders_are_refused(under: &UnderTest) {
    let [volume, other] = [&under.volumes[0], &under.volumes[1]];
    let [h1, h2] = [&under.hosts[0], &under.hosts[1]];
    let newest = order(3, 3);
    map(under, volume, h1, newest).await;
    for old in [order(3, 2), order(2, 3), order(2, 9), order(0, 0)] {
        let tries = [
            under.array.unmap(volume, h1, old).await.err(),
            under.array.map(volume, h1, old).await.err(),
            under.array.map(volume, h2, old).await.err(),
            under.array.unmap(volume, h2, old).await.err(),
        ];
        for outcome in tries {
            match outcome {
                Some(StorageError::OldOrder { volume: named, order, newest: told }) => {
                    assert_eq!((&named, order, told), (&volume.name, old, newest), "the refusal tells the orders");
                }
                outcome => panic!("{old:?} is older than {newest:?} and must be refused: {outcome:?}"),
            }
        }
    }
    assert_mapped(under, &[(volume, h1)]).await;
    map(under, other, h2, order(1, 1)).await;
    unmap(under, volume, h1, order(4, 0)).await;
    let refused = under.array.map(volume, h1, newest).await;
    assert!(matches!(refused, Err(StorageError::OldOrder { .. })), "a delayed map is refused after an unmap");
    assert_mapped(under, &[(other, h2)]).await;
}

async fn a_refused_order_is_not_obeyed(under: &UnderTest) {
    let volume = &under.volumes[0];
    let [h1, h2] = [&under.hosts[0], &under.hosts[1]];
    map(under, volume, h1, order(1, 1)).await;
    let refused = under.array.map(volume, h2, order(9, 9)).await;
    assert!(matches!(refused, Err(StorageError::MappedElsewhere { .. })), "it is mapped elsewhere: {refused:?}");
    unmap(under, volume, h1, order(1, 2)).await;
    assert_mapped(under, &[]).await;
}

async fn many_volumes_at_once(under: &UnderTest) {
    let place = |index: usize| &under.hosts[index % under.hosts.len()];
    let everywhere = || under.volumes.iter().enumerate().map(|(index, volume)| (volume, place(index)));
    join_all(everywhere().map(|(volume, host)| map(under, volume, host, order(1, 1)))).await;
    assert_mapped(under, &everywhere().collect::<Vec<_>>()).await;
    join_all(everywhere().map(|(volume, host)| unmap(under, volume, host, order(1, 2)))).await;
    assert_mapped(under, &[]).await;
}

async fn what_cannot_be_is_told(under: &UnderTest) {
    let host = &under.hosts[0];
    let outside = VolumeSpec { file: Some("../outside.raw".to_owned()), ..under.volumes[0].clone() };
    let unnamed = VolumeName::new("unnamed").expect("a name");
    let unnamed = VolumeSpec { name: unnamed, file: Some(String::new()), ..under.volumes[0].clone() };
    for volume in [&under.missing, &outside, &unnamed] {
        match under.array.map(volume, host, order(1, 1)).await {
            Err(error @ StorageError::Failed { retry: Retry::IsFutile, .. }) => {
                let told = error.to_string();
                let named = format!("map volume {} to {host}", volume.name);
                assert!(told.contains(&named), "the error names operation and object: {told}");
            }
            other => panic!("an image that cannot be opened is told, and that a retry is futile: {other:?}"),
        }
    }
    assert_mapped(under, &[]).await;
    unmap(under, &under.missing, host, order(1, 2)).await;
    if let Some(stranger) = &under.stranger {
        let refused = under.array.map(&under.volumes[0], stranger, order(1, 1)).await;
        assert!(matches!(&refused, Err(StorageError::UnknownHost { host, .. }) if host == stranger), "{refused:?}");
        assert_mapped(under, &[]).await;
    }
}
