//! A diagnostic: repeats computations over integers, floating-point numbers and memory, and compares what comes out with
//! what must. Any difference is a fault of the machine.
//!
//! It runs in a thread of its own at the lowest priority, a moment at a time with long pauses, on one processor after the
//! other, so that a processor that errs is found although the others do not, and nobody else misses the time.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use lifeboat_model::{
    hardware::{HardwareReading, HardwareSource, MAX_FAULTS},
    text::count,
};

/// Steps of one computation: some milliseconds.
const STEPS: u64 = 200_000;
/// 64-bit words of the memory that is looked at: 8 MiB.
const WORDS: usize = 1 << 20;
/// The pause between two moments of work.
const PAUSE: Duration = Duration::from_secs(5);
/// The lowest priority.
const NICE: i32 = 19;

/// What the computations must give; a test computes them anew.
const INTEGERS: u64 = 0x96bd_6a8b_9ae8_74df;
const FLOATS: u64 = 0x7fc2_b4cb_e17a_7a5b;

/// Something that may change a value on its way: nothing does in production, tests err with it.
type Meddle<'a> = &'a mut dyn FnMut(u64) -> u64;

fn honest(value: u64) -> u64 {
    value
}

/// A chain of multiplications, divisions, shifts and rotations.
fn integers(meddle: Meddle<'_>) -> u64 {
    let mut x = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for step in 1..=STEPS {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x = x.wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(step as u32 % 63);
        x ^= x / (step | 1024);
    }
    meddle(black_box(x))
}

/// Sums, products, quotients and roots: what IEEE 754 fixes to the last bit.
fn floats(meddle: Meddle<'_>) -> u64 {
    let (mut x, mut sum) = (black_box(0.5_f64), 0.0_f64);
    for step in 1..=STEPS {
        x = 3.999 * x * (1.0 - x);
        sum += (x + 1.0).sqrt() / (step as f64 + x);
    }
    meddle(black_box(sum).to_bits() ^ black_box(x).to_bits())
}

/// Writes patterns to memory and reads them back; how many words differ.
fn memory(words: &mut [u64], meddle: Meddle<'_>) -> u64 {
    let mut wrong = 0;
    for pattern in [0, u64::MAX, 0x5555_5555_5555_5555, 0xaaaa_aaaa_aaaa_aaaa] {
        for (at, word) in words.iter_mut().enumerate() {
            *word = pattern ^ at as u64;
        }
        black_box(&mut *words);
        for (at, word) in words.iter().enumerate() {
            let read = if at == 0 { meddle(*word) } else { *word };
            wrong += u64::from(read != pattern ^ at as u64);
        }
    }
    wrong
}

/// One round; what is wrong.
fn round(words: &mut [u64], mut meddle: impl FnMut(u64) -> u64) -> Vec<String> {
    let mut faults = Vec::new();
    let repeated = [integers(&mut meddle), integers(&mut meddle)];
    if repeated.iter().any(|result| *result != INTEGERS) {
        faults.push("an integer computation differs".to_owned());
    }
    let repeated = [floats(&mut meddle), floats(&mut meddle)];
    if repeated.iter().any(|result| *result != FLOATS) {
        faults.push("a floating-point computation differs".to_owned());
    }
    if memory(words, &mut meddle) > 0 {
        faults.push("memory does not hold what was written".to_owned());
    }
    faults
}

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    rounds: u64,
    processors: std::collections::BTreeSet<usize>,
    faults: Vec<String>,
}

/// A diagnostic that runs; ends when dropped.
#[derive(Debug)]
pub struct Diagnostic {
    found: Arc<std::sync::Mutex<Found>>,
    ends: Arc<AtomicBool>,
    _wake: Sender<()>,
}

impl Drop for Diagnostic {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

impl Diagnostic {
    /// Begins; none: the system gives no thread for it.
    #[must_use]
    pub fn start() -> Option<Self> {
        let found = Arc::<std::sync::Mutex<Found>>::default();
        let ends = Arc::new(AtomicBool::new(false));
        let (wake, woken) = channel::<()>();
        let (shared, end) = (Arc::clone(&found), Arc::clone(&ends));
        let work = move || {
            // Without it the thread is as any other, which the pauses keep small.
            let _ = rustix::process::setpriority_process(None, NICE);
            let mut words = vec![0_u64; WORDS];
            let processors = processors();
            for turn in 0_usize.. {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let processor = processors.get(turn % processors.len().max(1)).copied().filter(|at| pin(*at));
                let faults = round(&mut words, honest);
                let mut found = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                found.rounds += 1;
                found.processors.extend(processor);
                let whereabouts = processor.map(|at| format!(" on processor {at}")).unwrap_or_default();
                for fault in faults {
                    let fault = format!("{fault}{whereabouts}");
                    if found.faults.len() < MAX_FAULTS && !found.faults.contains(&fault) {
                        found.faults.push(fault);
                    }
                }
                drop(found);
                // Ends with a pause, or when the diagnostic is dropped.
                if woken.recv_timeout(PAUSE) == Err(RecvTimeoutError::Disconnected) {
                    return;
                }
            }
        };
        thread::Builder::new().name("diagnostic".to_owned()).spawn(work).ok()?;
        Some(Self { found, ends, _wake: wake })
    }

    /// What was found since it began. A fault stays: the machine erred once.
    #[must_use]
    pub fn reading(&self) -> HardwareReading {
        let found = self.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let rounds = count(found.rounds, "round");
        let detail = format!("{rounds} on {}", count(found.processors.len(), "processor"));
        HardwareReading { faults: found.faults.clone(), ..HardwareReading::of(HardwareSource::Diagnostic, detail) }
    }
}

/// Processors that this thread may run on.
fn processors() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|at| set.is_set(*at)).collect()
}

/// Keeps this thread to one processor; whether that was done.
fn pin(processor: usize) -> bool {
    let mut set = rustix::thread::CpuSet::new();
    set.set(processor);
    rustix::thread::sched_setaffinity(None, &set).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_does_not_err_gives_what_must_come_out() {
        let (integers, floats) = (integers(&mut honest), floats(&mut honest));
        assert_eq!((integers, floats), (INTEGERS, FLOATS), "({integers:#x}, {floats:#x})");
        assert_eq!(round(&mut vec![0; 4096], honest), Vec::<String>::new());
    }

    #[test]
    fn one_bit_that_is_wrong_is_found_wherever_it_is() {
        // Values pass in this order: two of integers, two of floats, then one of each memory pattern.
        for (wrong, what) in
            [(0, "integer"), (1, "integer"), (2, "floating"), (3, "floating"), (4, "memory"), (7, "memory")]
        {
            let mut passed = 0;
            let faults = round(&mut vec![0; 4096], |value| {
                passed += 1;
                if passed - 1 == wrong { value ^ 1 << 17 } else { value }
            });
            assert!(faults.len() == 1 && faults[0].contains(what), "{wrong}: {faults:?}");
        }
    }

    #[test]
    fn it_runs_beside_everything_and_ends_when_it_is_dropped() {
        let diagnostic = Diagnostic::start().expect("a thread");
        let found = Arc::downgrade(&diagnostic.found);
        while diagnostic.reading().detail.starts_with("0 rounds") {
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(diagnostic.reading().faults, Vec::<String>::new());
        drop(diagnostic);
        while found.strong_count() > 0 {
            thread::sleep(Duration::from_millis(10));
        }
    }
}
