//! A scenario that is wrong is refused, with the line of what is wrong; what is right is taken.

use lifeboat_sim::scenario::{Problem, Report, Scenario, read, run};

const HEAD: &str = "about = 'x'\n[generate]\nhosts = 3\nvms = 6\n";

fn read_text(text: &str) -> Result<Scenario, Vec<Problem>> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("s.toml");
    std::fs::write(&file, text).expect("a file");
    read(&file)
}

/// The only problem of a text, as line and words.
fn problem(text: &str) -> (usize, String) {
    let problems = read_text(text).expect_err("it is refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    let problem = &problems[0];
    assert!(problem.to_string().contains("s.toml"), "the file is named: {problem}");
    (problem.place.line.unwrap_or(0), problem.text.clone())
}

/// The only problem of a script with a fleet of 3 hosts and 6 VMs, by its line in the script, counted from 1.
fn of_script(script: &str) -> (usize, String) {
    let (line, text) = problem(&format!("about = 'x'\nscript = '''\n{script}\n'''\n[generate]\nhosts = 3\nvms = 6\n"));
    (line - 2, text)
}

/// The only problem of an expectation, by its line below `[expect]`.
fn of_expect(expect: &str) -> (usize, String) {
    let (line, text) =
        problem(&format!("about = 'x'\nscript = '1 kill v1'\n[generate]\nhosts = 3\nvms = 6\n[expect]\n{expect}\n"));
    (line - 6, text)
}

fn report(text: &str) -> Report {
    run(&read_text(text).expect("it is taken"), None)
}

macro_rules! refused {
    ($($name:ident: $of:ident($text:expr) => $line:expr, $words:expr;)*) => {$(
        #[test]
        fn $name() {
            let (line, text) = $of($text);
            assert!(text.contains($words), "{text}");
            assert_eq!(line, $line, "{text}");
        }
    )*};
}

refused! {
    a_host_that_does_not_exist: of_script("1 power h1 off\n2 power h9 off") => 2, "no host `h9`";
    a_vm_that_does_not_exist: of_script("kill v7") => 1, "no VM `v7`";
    an_array_that_does_not_exist: of_script("array a2 off") => 1, "no array `a2`";
    a_volume_that_does_not_exist: of_script("volume v1-d7 lost") => 1, "no volume `v1-d7`";
    a_rule_that_does_not_exist: of_script("rule remove r") => 1, "no rule `r`";
    a_controller_that_does_not_exist: of_script("crash controller 1") => 1, "no controller 1";
    a_network_that_does_not_exist: of_script("network h1 off moon") => 1, "no network `moon`";
    a_label_that_no_host_has: of_script("power rack=r7 off") => 1, "no host of this fleet has `rack=r7`";
    a_command_that_does_not_exist: of_script("explode h1") => 1, "is no command";
    a_word_too_many: of_script("power h1 off now") => 1, "is no command";
    neither_on_nor_off: of_script("power h1 out") => 1, "neither `on` nor `off`";
    a_time_without_a_command: of_script("10") => 1, "no command";
    a_time_that_is_none: of_script("1x kill v1") => 1, "not a number of seconds";
    a_time_without_end: of_script("delay 1e12") => 1, "longer than a year";
    more_than_all_messages: of_script("messages lose 101%") => 1, "more than all";
    time_that_goes_back: of_script("10 kill v1\n9 kill v2") => 2, "back in time";
    time_that_goes_back_behind_a_delay: of_script("10 kill v1\ndelay 5\n12 kill v2") => 3, "back in time";
    a_time_after_a_rest: of_script("until stable\n10 kill v1") => 2, "write `+10`";

    power_that_is_on: of_script("power h1 on") => 1, "already, from the beginning";
    power_that_is_off: of_script("power h1 off\n+60 power h1 off") => 2, "off already, since line 3";
    a_hang_without_power: of_script("power h1 off\nhang h1") => 2, "no power";
    a_hang_that_ends_before_it_began: of_script("hang h1 off") => 1, "from the beginning";
    a_shutdown_without_power: of_script("power h1 off\nshutdown h1") => 2, "no power";
    a_bmc_that_works: of_script("bmc h1 on") => 1, "already";
    a_network_that_works: of_script("network h1 on") => 1, "already";
    storage_that_is_cut_twice: of_script("storage h1 off\nnetwork h1 off storage") => 2, "already";
    an_array_that_works: of_script("array a1 on") => 1, "already";
    a_volume_that_is_there: of_script("volume v1-d0 found") => 1, "already";
    a_store_that_works: of_script("store on") => 1, "already";
    messages_that_arrive: of_script("messages ok") => 1, "already";
    a_vm_that_is_added_twice: of_script("vm v1 add\nvm v1 add") => 2, "declared already";
    a_vm_before_it_is_added: of_script("vm v1 stop\nvm v1 add") => 1, "not there before";
    a_vm_after_it_is_removed: of_script("vm v1 remove\nkill v1") => 2, "removes it";
    a_vm_that_is_enabled: of_script("vm v1 enable") => 1, "not disabled";
    a_vm_that_is_disabled_twice: of_script("vm v1 disable\nvm v1 disable") => 2, "disabled already";
    maintenance_that_is_on: of_script("maintenance h1 on\nmaintenance h1 on") => 2, "already";
    maintenance_that_is_off: of_script("maintenance h1 off") => 1, "not in maintenance";

    a_service_that_is_well: of_script("service v1 on") => 1, "from the beginning";
    a_service_that_fails_twice: of_script("service v1 off\n+5 service v1 off") => 2, "off already, since line 3";
    a_service_of_no_vm: of_script("kill v1\nservice v9 off") => 2, "no VM `v9`";
    a_service_neither_on_nor_off: of_script("service v1 slow") => 1, "neither `on` nor `off`";
    a_guest_that_does_something_else: of_script("kill v2\nguest v1 sleep") => 2, "hang, panic or shutdown, not `sleep`";
    a_guest_of_no_vm: of_script("guest v9 hang") => 1, "no VM `v9`";
    a_controller_that_sees: of_script("controller 0 blind off") => 1, "from the beginning";
    a_blind_controller_that_does_not_exist: of_script("controller 1 blind on") => 1, "no controller 1";
    a_controller_neither_blind_nor_seeing: of_script("controller 0 blind") => 1, "is no command";

    an_expected_host_that_does_not_exist: of_expect("state = { v1 = 'up' }\nhost = { v1 = 'h9' }") => 2, "no host `h9`";
    an_expected_vm_that_does_not_exist: of_expect("host = { v9 = 'h1' }") => 1, "no VM `v9`";
    an_expected_state_of_nobody: of_expect("state = { x = 'up' }") => 1, "no VM and no host `x`";
    a_state_that_no_vm_has: of_expect("state = { v1 = 'fenced' }") => 1, "a VM is never `fenced`";
    a_state_that_no_host_has: of_expect("state = { h1 = 'given-up' }") => 1, "a host is never `given-up`";
    a_reason_that_does_not_exist: of_expect("unplaced = { v1 = 'full' }") => 1, "no reason `full`";
    an_unknown_expectation: of_expect("hots = { v1 = 'h1' }") => 1, "unknown field `hots`";
    an_unknown_field_of_an_event: of_expect("event = [{ text = 'x', time = 1 }]") => 1, "unknown field `time`";
    a_place_of_another_type: of_expect("host = { v1 = 1 }") => 1, "a name in quotes or a list";

    up_and_nowhere: of_expect("state = { v1 = 'up' }\nhost = { v1 = '-' }") => 2, "cannot be up";
    stopped_and_somewhere: of_expect("host = { v1 = 'h1' }\nstate = { v1 = 'stopped' }") => 1, "cannot be stopped";
    unplaced_and_somewhere: of_expect("host = { v1 = 'h1' }\nunplaced = { v1 = 'rule' }") => 2, "cannot be unplaced";
    apart_and_together: of_expect("apart = [['v1', 'v2']]\ntogether = [['v3', 'v2', 'v1']]") => 1, "apart and together";
    apart_on_one_host: of_expect("apart = [['v1', 'v2']]\nhost = { v1 = 'h1', v2 = 'h1' }") => 1, "both be on h1";
    together_on_two_hosts: of_expect("together = [['v1', 'v2']]\nhost = { v1 = 'h1', v2 = 'h2' }") => 1, "no host is expected for both";
    apart_from_itself: of_expect("apart = [['v1', 'v1']]") => 1, "twice";
    an_order_of_one: of_expect("order = [['v1']]") => 1, "two at least";
    an_order_that_runs_in_a_circle: of_expect("order = [['v1', 'v2', 'v3'], ['v3', 'v1']]") => 1, "says the reverse";
    back_sooner_than_away: of_expect("within = { v1 = 10 }\nat_least = { v1 = 11 }") => 2, "come back sooner";
    all_back_sooner_than_one: of_expect("recovered_s = 10\nat_least = { v1 = 11 }") => 2, "recovered_s";
    starts_that_do_not_add_up: of_expect("starts = { v1 = 1 }\nstarted_on = { v1 = ['h1', 'h2'] }") => 2, "as many starts";
    untouched_and_started: of_expect("starts = { v1 = 1 }\nuntouched = ['v1']") => 2, "stay untouched";
    fenced_and_not_declared: of_expect("declared = ['h1']\nfenced = ['h2']") => 2, "without being declared failed";
    failed_and_not_declared: of_expect("declared = []\nstate = { h1 = 'failed' }") => 2, "without being declared failed";
    told_and_not_told: of_expect("said = ['h1 has failed']\nnot_said = ['has failed']") => 2, "both told and not told";
    happens_and_does_not: of_expect("happened = ['v1 dies']\nnot_happened = ['dies']") => 2, "both happen";
    an_event_at_no_time: of_expect("event = [{ text = 'x', from_s = 3, to_s = 2 }]") => 1, "no time at all";
    all_up_and_one_stopped: of_expect("all_up = true\nstate = { v1 = 'stopped' }") => 2, "all_up";
    calm_and_a_host_failed: of_expect("calm = true\ndeclared = ['h1']") => 2, "cannot be calm";
}

#[test]
fn an_unknown_section_or_field_is_refused_with_its_line() {
    let (line, text) = problem(&format!("{HEAD}[expcet]\nall_up = true\n"));
    assert!(text.contains("unknown field `expcet`"), "{text}");
    assert_eq!(line, 5);
    let (line, text) = problem(&format!("{HEAD}racs = 2\n"));
    assert!(text.contains("unknown field `racs`"), "{text}");
    assert_eq!(line, 5);
    let (line, text) = problem(&format!("script = ''\n{HEAD}[times]\nfens = 3\n"));
    assert!(text.contains("unknown field `fens`"), "{text}");
    assert_eq!(line, 7);
    let (line, text) = problem(&format!("script = ''\n{HEAD}[times.of.h1]\nfens = 3\n"));
    assert!(text.contains("unknown field `fens`"), "{text}");
    assert_eq!(line, 7);
    let (line, text) = problem(&format!("script = ''\n{HEAD}[[host]]\nname = 'h4'\ncapacty = {{}}\n"));
    assert!(text.contains("`capacty`"), "{text}");
    assert_eq!(line, 8);
}

#[test]
fn times_of_a_part_that_does_not_exist_are_refused() {
    let (line, text) = problem(&format!("script = ''\n{HEAD}[times.of.h9]\nfence = 3\n"));
    assert!(text.contains("no host, VM or array `h9`"), "{text}");
    assert_eq!(line, 6);
}

#[test]
fn a_fleet_that_is_wrong_is_refused_with_its_line() {
    let vm = "[[vm]]\nname = 'x'\nclass = 'gold'\ndemand = { cpu_milli = 1, memory_mib = 1 }\nvolumes = ['nowhere']\n";
    let (line, text) = problem(&format!("script = ''\n{HEAD}{vm}"));
    assert!(text.contains("nowhere"), "{text}");
    assert_eq!(line, 10);
}

#[test]
fn no_fleet_a_fleet_without_a_file_and_one_without_bounds_are_refused() {
    let (_, text) = problem("about = 'x'\nscript = ''\n");
    assert!(text.contains("there is no fleet"), "{text}");
    let (line, text) = problem("about = 'x'\nscript = ''\nfleet = 'nowhere.json'\n");
    assert!(text.contains("nowhere.json cannot be read"), "{text}");
    assert_eq!(line, 3);
    let (line, text) = problem("about = 'x'\nscript = ''\n[generate]\nhosts = 4000000000\n");
    assert!(text.contains("200000 at most"), "{text}");
    assert_eq!(line, 3);
}

#[test]
fn a_file_that_is_no_text_or_is_not_there_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("s.toml");
    assert!(read(&file).expect_err("it is not there")[0].text.contains("cannot be read"));
    std::fs::write(&file, [0xff, 0xfe, 0]).expect("a file");
    assert!(read(&file).expect_err("it is no text")[0].text.contains("cannot be read"));
    let (line, text) = problem("about = 'x'\nscript = '''\n1 kill v1\n");
    assert!(line >= 2 && !text.is_empty(), "{line}: {text}");
}

#[test]
fn every_problem_of_a_script_is_told_at_once() {
    let text = format!("script = '''\npower h9 off\nkill v9\nbmc h1 maybe\n'''\n{HEAD}");
    let problems = read_text(&text).expect_err("it is refused");
    let lines: Vec<_> = problems.iter().filter_map(|problem| problem.place.line).collect();
    assert_eq!(lines, [2, 3, 4], "{problems:?}");
}

#[test]
fn power_may_come_back_after_lifeboat_may_have_cut_it() {
    read_text(&format!("script = '''\n1 hang h1\n100 power h1 on\n'''\n{HEAD}")).expect("it may be off by then");
}

#[test]
fn a_fleet_comes_from_a_file_too_and_the_scenario_s_own_sections_go_over_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let declaration =
        "[[class]]\nname = 'c'\nrto_s = 60\n[[host]]\nname = 'n1'\ncapacity = { cpu_milli = 9, memory_mib = 100 }\n";
    std::fs::write(folder.path().join("fleet.toml"), declaration).expect("a file");
    let v1 = r#"{"format":"lifeboat/fleet/v1","hosts":[{"name":"n1","state":"up","capacity":{"cpu_milli":9,"memory_mib":100}}],
        "vms":[],"volumes":[],"arrays":[],"classes":[{"name":"c","rto_s":60}],"groups":[],"rules":[],
        "limits":{"starts_per_host":2,"maps_per_host":4,"fence_s":4}}"#;
    std::fs::write(folder.path().join("fleet.json"), v1).expect("a file");
    for fleet in ["fleet.toml", "fleet.json"] {
        let vm = "[[vm]]\nname = 'x'\nclass = 'c'\ndemand = { cpu_milli = 1, memory_mib = 10 }\n";
        let text = format!(
            "about = 'x'\nfleet = '{fleet}'\nscript = '5 kill x'\n{vm}[expect]\nhost = {{ x = 'n1' }}\nstarts = {{ x = 1 }}\n"
        );
        let file = folder.path().join("s.toml");
        std::fs::write(&file, text).expect("a file");
        let report = run(&read(&file).expect("it is taken"), None);
        assert!(report.is_good(), "{fleet}: {:?}", report.unmet);
    }
}

#[test]
fn what_does_not_come_is_told() {
    let unmet = |expect: &str| {
        let report = report(&format!("script = '5 power h1 off'\n{HEAD}[expect]\n{expect}\n"));
        assert!(report.broken.is_none(), "{expect}: {:?}", report.broken);
        report.unmet.join("; ")
    };
    for (expect, words) in [
        ("host = { v1 = 'h1' }", "expected was h1"),
        ("host = { v1 = '-' }", "expected was -"),
        ("state = { v1 = 'stopped' }", "v1 is not stopped"),
        ("state = { v1 = 'disabled' }", "v1 is not disabled"),
        ("state = { h2 = 'fenced' }", "h2 is up"),
        ("unplaced = { v1 = 'rule' }", "v1 is placed"),
        ("starts = { v1 = 2 }", "v1 was started 1 times"),
        ("started_on = { v1 = ['h1'] }", "v1 was started on [h"),
        ("untouched = ['v1']", "nothing happens to it"),
        ("apart = [['v1', 'v2', 'v3', 'v4']]", "one host each"),
        ("together = [['v2', 'v3']]", "one host for all"),
        ("order = [['v2', 'v1']]", "v2 was not up before v1"),
        ("within = { v1 = 0.5 }", "expected was 0.5 s at most"),
        ("within = { v2 = 100 }", "never lost"),
        ("at_least = { v1 = 100 }", "at least"),
        ("recovered_s = 1", "at most for all"),
        ("declared = []", "declared failed were [h1]"),
        ("fenced = ['h1']", "fenced were []"),
        ("fenced_by = { h1 = 'operator' }", "proven off by power"),
        ("said = ['pigs fly']", "nobody was told: pigs fly"),
        ("not_said = ['h1 has failed']", "should not have been"),
        ("sequence = ['h1 is fenced', 'h1 has failed']", "nobody was told after"),
        ("event = [{ text = 'h1 has failed', times = 3 }]", "told 2 times"),
        ("event = [{ text = 'h1 has failed', to_s = 5 }]", "expected was ..5"),
        ("happened = ['h2 has lost its power']", "it did not happen"),
        ("not_happened = ['h1 has lost its power']", "should not have"),
        ("refused = ['never']", "no order was refused"),
        ("at_rest = false", "waits for something"),
        ("calm = true", "people were warned"),
    ] {
        let told = unmet(expect);
        assert!(told.contains(words), "{expect}: {told}");
    }
    assert_eq!(unmet("all_up = true\ndeclared = ['h1']\nfenced_by = { h1 = 'power' }"), "");
}

#[test]
fn an_order_that_is_refused_and_a_line_that_does_nothing_are_told() {
    let text = format!("script = '''\n1 confirm-off h1\n2 vm v1 disable\n3 vm v1 stop\n'''\n{HEAD}");
    let told = report(&text).unmet.join("; ");
    assert!(told.contains("line 2: this order was refused: host h1 is up"), "{told}");
    assert!(told.contains("line 4: this order was refused: VM v1 is disabled"), "{told}");
    let expected = format!("{text}[expect]\nrefused = ['host h1 is up', 'v1 is disabled']\n");
    assert_eq!(report(&expected).unmet, Vec::<String>::new());
    let text = format!("script = '''\n1 hang h1\n+2 power h1 on\n+1 vm v2 stop\n+60 kill v2\n'''\n{HEAD}");
    let told = report(&text).unmet.join("; ");
    assert!(told.contains("line 3 does nothing: h1 has power"), "{told}");
    assert!(told.contains("line 5 does nothing: v2 runs nowhere"), "{told}");
}
