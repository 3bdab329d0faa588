use lifeboat_model::{HostName, Seconds};
use proptest::prelude::*;

use super::*;
use crate::fleet::RecoveryId;

const START: Time = Time::from_micros(1_000_000_000);

fn settings(name: &str) -> ReceiverSettings {
    ReceiverSettings { name: name.to_owned(), ..ReceiverSettings::default() }
}

fn event(sequence: u64, severity: Severity, text: &str) -> EventRecord {
    EventRecord {
        sequence,
        time: START,
        severity,
        text: text.to_owned(),
        host: None,
        vm: None,
        recovery: None,
        trouble: None,
        over: false,
    }
}

fn of_recovery(sequence: u64, severity: Severity, text: &str, over: bool) -> EventRecord {
    EventRecord { recovery: Some(RecoveryId(7)), over, ..event(sequence, severity, text) }
}

fn of_host(sequence: u64, host: &str) -> EventRecord {
    let host = Some(HostName::new(host).expect("a name"));
    EventRecord { host, ..event(sequence, Severity::Warning, &format!("event {sequence}")) }
}

/// Notifications with a clock, and what they did.
struct Bench {
    it: Notifications,
    now: Time,
    /// Deliveries: when, to whom, what.
    sent: Vec<(Seconds, String, u64, Notice)>,
    notes: Vec<(Severity, String, bool)>,
    memory: BTreeMap<String, Memory>,
    /// Receivers that never answer.
    hang: Vec<String>,
    /// What receivers answer; nothing: they take it.
    answer: Result<(), (String, bool)>,
}

impl Bench {
    fn new(receivers: &[ReceiverSettings]) -> Self {
        let it = Notifications::new(START, 0, receivers.iter().map(|it| (it.clone(), None)));
        let (sent, notes, memory, hang) = (Vec::new(), Vec::new(), BTreeMap::new(), Vec::new());
        Self { it, now: START, sent, notes, memory, hang, answer: Ok(()) }
    }

    fn give(&mut self, input: NotifyInput) {
        let mut effects = self.it.handle(self.now, input);
        while let Some(effect) = (!effects.is_empty()).then(|| effects.remove(0)) {
            match effect {
                NotifyEffect::Deliver { receiver, attempt, notice } => {
                    self.sent.push((self.now.since(START), receiver.clone(), attempt, notice));
                    if !self.hang.contains(&receiver) {
                        let result = self.answer.clone();
                        effects.extend(self.it.handle(self.now, NotifyInput::Delivered { receiver, attempt, result }));
                    }
                }
                NotifyEffect::Remember { receiver, memory } => {
                    self.memory.insert(receiver, memory);
                }
                NotifyEffect::Note { severity, text, over, .. } => self.notes.push((severity, text, over)),
            }
        }
    }

    fn event(&mut self, event: EventRecord) {
        self.give(NotifyInput::Event(Box::new(event)));
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + Seconds::new(seconds);
        while let Some(at) = self.it.next_deadline().filter(|at| *at <= end) {
            assert!(at >= self.now || !self.sent.is_empty(), "a deadline that was missed");
            self.now = self.now.max(at);
            self.give(NotifyInput::Tick);
        }
        self.now = end;
    }

    fn subjects(&self) -> Vec<&str> {
        self.sent.iter().map(|(.., notice)| notice.subject.as_str()).collect()
    }
}

#[test]
fn a_recovery_is_told_at_its_beginning_and_with_its_summary_at_its_end() {
    let mut bench = Bench::new(&[settings("ops")]);
    bench.event(of_recovery(1, Severity::Critical, "h2 has failed: nothing heard. 5 VMs ran there", false));
    bench.event(of_recovery(2, Severity::Info, "h2 is fenced", false));
    bench.event(of_recovery(3, Severity::Warning, "web-1 has no place", false));
    bench.run(4);
    assert!(bench.sent.is_empty(), "events gather for wait_s");
    bench.run(1);
    assert_eq!(bench.subjects(), ["h2 has failed: nothing heard (and 1 more)"], "info is filtered");
    bench.event(of_recovery(4, Severity::Info, "The recovery of h2 has ended: 5 of 5 VMs up after 41 s", true));
    assert_eq!(bench.subjects()[1], "The recovery of h2 has ended: 5 of 5 VMs up after 41 s");
    bench.event(of_recovery(5, Severity::Info, "The recovery of h2 has ended: once more", true));
    bench.run(600);
    assert_eq!(bench.sent.len(), 2, "what was not told of is not told to be over");
}

#[test]
fn who_wants_critical_events_only_learns_the_end_of_what_it_was_told_and_nothing_else() {
    let pager = ReceiverSettings { severity: Severity::Critical, ..settings("pager") };
    let mut bench = Bench::new(&[pager, settings("mail")]);
    bench.event(of_host(1, "h1"));
    bench.event(of_recovery(2, Severity::Warning, "web-1 has no place", false));
    bench.run(10);
    bench.event(of_recovery(3, Severity::Info, "The recovery of h2 has ended", true));
    bench.run(10);
    let to: Vec<&str> = bench.sent.iter().map(|(_, to, ..)| to.as_str()).collect();
    assert_eq!(to, ["mail"; 3], "the pager was told of no beginning");
}

#[test]
fn each_recovery_and_host_has_a_message_of_its_own_and_pauses_between_them() {
    let mut bench = Bench::new(&[settings("ops")]);
    bench.event(of_host(1, "h1"));
    bench.event(of_host(2, "h1"));
    bench.event(of_host(3, "h2"));
    bench.run(5);
    let counts: Vec<usize> = bench.sent.iter().map(|(.., notice)| notice.events.len()).collect();
    assert_eq!(counts, [2, 1]);
    bench.event(of_host(4, "h1"));
    bench.run(50);
    assert_eq!(bench.sent.len(), 2, "h1 was told of less than pause_s ago");
    bench.run(10);
    assert_eq!(bench.sent.len(), 3);
    bench.event(EventRecord { severity: Severity::Critical, ..of_host(5, "h1") });
    bench.run(5);
    assert_eq!(bench.sent.len(), 4, "what is critical does not pause");
}

#[test]
fn what_the_rate_holds_back_is_in_the_next_message() {
    let slow = ReceiverSettings { per_hour: 6, burst: 2, ..settings("ops") };
    let mut bench = Bench::new(&[slow]);
    for number in 1..=40 {
        bench.event(of_host(number, &format!("h{number}")));
    }
    bench.run(30);
    let told: usize = bench.sent.iter().map(|(.., notice)| notice.events.len()).sum();
    assert_eq!((bench.sent.len(), told), (1, 40), "two tokens are too few for 40 groups: all go together");
    for number in 41..=80 {
        bench.event(of_host(number, &format!("h{number}")));
        bench.run(10);
    }
    bench.run(600);
    assert_eq!(bench.subjects(), ["40 events; the first: event 1", "event 41", "39 events; the first: event 42"]);
    assert_eq!(bench.it.views()[0].waiting, 0);
}

#[test]
fn a_storm_of_events_is_bounded_and_only_its_number_is_told_of_the_rest() {
    let mut bench = Bench::new(&[settings("ops")]);
    bench.hang.push("ops".to_owned());
    for number in 1..=20_000_u64 {
        bench.event(of_host(number, &format!("h{}", number % 500)));
    }
    bench.run(10);
    let (.., notice) = &bench.sent[0];
    assert!(notice.events.len() <= group::MAX_EVENTS);
    assert!(bench.it.views()[0].waiting <= 50 + 200 * 50, "{:?}", bench.it.views());
    bench.hang.clear();
    bench.give(NotifyInput::Delivered { receiver: "ops".to_owned(), attempt: 1, result: Ok(()) });
    bench.run(7200);
    let told: u64 = bench.sent.iter().map(|(.., notice)| notice.events.len() as u64 + notice.left_out).sum();
    assert_eq!(told, 20_000, "each is told, or counted");
}

#[test]
fn a_receiver_that_hangs_holds_up_no_other() {
    let mut bench = Bench::new(&[settings("a"), settings("b")]);
    bench.hang.push("a".to_owned());
    for number in 1..=3 {
        bench.event(of_host(number, "h1"));
        bench.run(120);
    }
    let to = |name| bench.sent.iter().filter(|(_, to, ..)| to == name).count();
    assert_eq!((to("a"), to("b")), (1, 3));
}

#[test]
fn a_message_is_tried_a_bounded_number_of_times_and_the_loss_is_told_once() {
    let mut bench = Bench::new(&[ReceiverSettings { attempts: 3, ..settings("ops") }]);
    bench.answer = Err(("no answer within 10 s".to_owned(), true));
    bench.event(of_host(1, "h1"));
    bench.run(600);
    let at: Vec<u64> = bench.sent.iter().map(|(at, ..)| at.millis() / 1000).collect();
    assert_eq!(at, [5, 10, 20], "the pauses double");
    bench.event(of_host(2, "h1"));
    bench.run(600);
    assert_eq!((bench.sent.len(), bench.notes.len()), (6, 1));
    assert!(bench.notes[0].1.contains("no answer within 10 s") && bench.notes[0].0 == Severity::Warning);
    bench.answer = Ok(());
    bench.event(of_host(3, "h1"));
    bench.run(600);
    assert_eq!(bench.sent.last().expect("sent").3.left_out, 2, "it learns how many it was not told");
    assert!(bench.notes.len() == 2 && bench.notes[1].2, "{:?}", bench.notes);
    assert_eq!(bench.memory["ops"].lost, 0);
}

#[test]
fn what_cannot_be_helped_by_trying_again_is_not() {
    let mut bench = Bench::new(&[settings("ops")]);
    bench.answer = Err(("404".to_owned(), false));
    bench.event(of_host(1, "h1"));
    bench.run(3600);
    assert_eq!((bench.sent.len(), bench.notes.len()), (1, 1));
}

#[test]
fn a_restart_goes_on_behind_what_was_told_and_forgets_no_trouble_that_lasts() {
    let mut bench = Bench::new(&[settings("ops")]);
    bench.event(of_recovery(1, Severity::Critical, "h2 has failed", false));
    bench.run(6);
    bench.event(of_host(2, "h1"));
    let memory = bench.memory["ops"].clone();
    assert_eq!(memory.told, 1);
    let mut next = Bench::new(&[]);
    next.it = Notifications::new(START, 9, [(settings("ops"), Some(memory))]);
    assert_eq!(next.it.begins_after(), 1);
    next.event(of_recovery(1, Severity::Critical, "h2 has failed", false));
    next.event(of_host(2, "h1"));
    next.event(of_recovery(3, Severity::Info, "The recovery of h2 has ended", true));
    next.run(60);
    assert_eq!(next.subjects(), ["The recovery of h2 has ended", "event 2"]);
    let new = Notifications::new(START, 9, [(settings("new"), None)]);
    assert_eq!(new.begins_after(), 9, "a new receiver is not told the past");
}

#[test]
fn alerts_last_until_they_are_over_and_are_said_again_meanwhile() {
    let mut bench = Bench::new(&[ReceiverSettings { style: Style::Alerts, ..settings("am") }]);
    bench.event(of_recovery(1, Severity::Critical, "h2 has failed", false));
    bench.event(of_host(2, "h1"));
    bench.run(300);
    let alerts = |at: usize| &bench.sent[at].3.alerts;
    assert_eq!((alerts(0).len(), alerts(1).len()), (1, 2), "what matters most first, and the host's event is one too");
    let passes = alerts(1).iter().find(|alert| alert.trouble == "event").expect("it is there");
    assert_eq!(passes.ended_us, Some(START + Seconds::new(300)));
    let lasts = |at: usize| alerts(at).iter().any(|it| it.trouble == "recovery r-7" && it.ended_us.is_none());
    assert!((0..bench.sent.len()).all(lasts));
    assert!((6..=8).contains(&bench.sent.len()), "it is repeated every minute: {}", bench.sent.len());
    bench.event(of_recovery(3, Severity::Info, "The recovery of h2 has ended", true));
    let last = bench.sent.last().expect("sent at once").3.alerts.clone();
    assert_eq!((last[0].severity, last[0].ended_us), (Severity::Critical, Some(bench.now)));
    let before = bench.sent.len();
    bench.run(3600);
    assert_eq!(bench.sent.len(), before, "nothing lasts any more");
}

proptest! {
    #[test]
    fn never_more_messages_than_the_rate(
        events in proptest::collection::vec((0_u64..120, 0_u64..9, any::<bool>()), 1..300),
        per_hour in 1_u32..100, burst in 1_u32..20,
    ) {
        let mut bench = Bench::new(&[ReceiverSettings { per_hour, burst, ..settings("ops") }]);
        for (number, (pause, host, critical)) in (1..).zip(events) {
            bench.run(pause);
            let severity = if critical { Severity::Critical } else { Severity::Warning };
            bench.event(EventRecord { severity, ..of_host(number, &format!("h{host}")) });
        }
        bench.run(100_000);
        prop_assert_eq!(bench.it.views()[0].waiting, 0);
        let times: Vec<u64> = bench.sent.iter().map(|(at, ..)| at.micros()).collect();
        for (first, from) in times.iter().enumerate() {
            for (last, to) in times.iter().enumerate().skip(first) {
                let allowed = u64::from(burst) + (to - from) * u64::from(per_hour) / 3_600_000_000 + 1;
                prop_assert!(((last - first) as u64) < allowed, "{} messages within {} us", last - first + 1, to - from);
            }
        }
    }
}
