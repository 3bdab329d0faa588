//! Networks, and a machine's ports to them.

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Network {
    /// Between agents and controllers.
    Management,
    /// Between hosts and arrays; and between controllers and the arrays' management interfaces.
    Storage,
    /// Between controllers and BMCs.
    Bmc,
    /// Between controllers and their store.
    Store,
}

impl Network {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Management, Self::Storage, Self::Bmc, Self::Store];

    /// Its name in a scenario.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Management => "management",
            Self::Storage => "storage",
            Self::Bmc => "bmc",
            Self::Store => "store",
        }
    }
}

/// A machine's ports to all networks: each may be cut in either direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    no_out: u8,
    no_in: u8,
}

impl Ports {
    /// Cuts or mends what goes out, what comes in, or both.
    pub fn set(&mut self, network: Network, out: Option<bool>, into: Option<bool>) {
        let bit = 1 << network as u8;
        let put = |bits: &mut u8, works: Option<bool>| match works {
            Some(true) => *bits &= !bit,
            Some(false) => *bits |= bit,
            None => {}
        };
        put(&mut self.no_out, out);
        put(&mut self.no_in, into);
    }

    /// Whether anything is cut.
    #[must_use]
    pub fn is_cut(&self, network: Network) -> bool {
        (self.no_out | self.no_in) & (1 << network as u8) != 0
    }

    pub(in crate::world) fn sends(self, network: Network) -> bool {
        self.no_out & (1 << network as u8) == 0
    }

    pub(in crate::world) fn hears(self, network: Network) -> bool {
        self.no_in & (1 << network as u8) == 0
    }
}
