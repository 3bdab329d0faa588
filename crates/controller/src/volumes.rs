//! Maps and unmaps volumes through the drivers of their arrays.

use std::{collections::BTreeMap, sync::Arc};

use lifeboat_brain::fleet::{Input, OpId, VolumeChange, VolumeOutcome};
use lifeboat_model::{
    ArrayName, HostName,
    spec::{ArraySpec, VolumeSpec},
};
use lifeboat_ports::{MapOrder, Retry, StorageArray, StorageError};

use crate::{handle::Handle, run::chain};

/// A driver, with the spec that it was made for.
struct Driver {
    spec: Arc<ArraySpec>,
    array: Result<Arc<dyn StorageArray>, String>,
}

/// The drivers of all arrays that were used, made when first needed and made anew when their spec has changed.
#[derive(Default)]
pub(crate) struct Arrays {
    drivers: BTreeMap<ArrayName, Driver>,
}

impl Arrays {
    fn driver(&mut self, spec: &Arc<ArraySpec>) -> Result<Arc<dyn StorageArray>, String> {
        if let Some(driver) = self.drivers.get(&spec.name)
            && *driver.spec == **spec
        {
            return driver.array.clone();
        }
        let array = match lifeboat_drivers::storage::array(spec) {
            Ok(Some(array)) => Ok(array),
            Ok(None) => Err(format!("array {} has no backend; add one to its declaration and apply it", spec.name)),
            Err(error) => Err(chain(&error)),
        };
        self.drivers.insert(spec.name.clone(), Driver { spec: Arc::clone(spec), array: array.clone() });
        array
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one effect, taken apart")]
    pub(crate) fn spawn(
        &mut self,
        handle: Handle,
        op: OpId,
        change: VolumeChange,
        array: Arc<ArraySpec>,
        volume: Arc<VolumeSpec>,
        host: HostName,
        order: MapOrder,
    ) {
        let driver = self.driver(&array);
        tokio::spawn(async move {
            let outcome = match driver {
                Ok(driver) => change_one(driver.as_ref(), change, &volume, &host, order).await,
                Err(problem) => VolumeOutcome::Failed { problem, retry_may_help: false },
            };
            handle.input(Input::VolumeEnded { op, outcome }).await;
        });
    }
}

async fn change_one(
    array: &dyn StorageArray,
    change: VolumeChange,
    volume: &VolumeSpec,
    host: &HostName,
    order: MapOrder,
) -> VolumeOutcome {
    let result = match change {
        VolumeChange::Map => array.map(volume, host, order).await.map(VolumeOutcome::Mapped),
        VolumeChange::Unmap => array.unmap(volume, host, order).await.map(|()| VolumeOutcome::Unmapped),
    };
    result.unwrap_or_else(|error| match error {
        StorageError::MappedElsewhere { host, .. } => VolumeOutcome::MappedElsewhere(host),
        StorageError::Failed { retry, .. } => {
            VolumeOutcome::Failed { problem: chain(&error), retry_may_help: retry == Retry::MayHelp }
        }
        StorageError::OldOrder { .. } | StorageError::UnknownHost { .. } => {
            VolumeOutcome::Failed { problem: chain(&error), retry_may_help: false }
        }
    })
}
