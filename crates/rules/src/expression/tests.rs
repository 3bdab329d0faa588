use cel::Context;

use super::*;

fn faults(text: &str) -> String {
    Formula::read(text).expect_err(text)
}

/// `vm` with what matters here.
fn context() -> Context<'static, 'static> {
    let mut context = ground();
    let labels = std::collections::HashMap::from([("app", "shop"), ("tier", "2")]);
    let vm = std::collections::HashMap::from([
        ("name", Value::from("web-12")),
        ("labels", labels.into()),
        ("memory_mib", Value::Int(4096)),
        ("arrays", Value::from(vec!["a1", "a2"])),
    ]);
    context.add_variable_from_value("vm", vm);
    context
}

fn holds(text: &str) -> Result<bool, String> {
    Formula::read(text).expect(text).holds(&context())
}

#[test]
fn a_vm_is_matched_by_its_name_labels_and_size() {
    for text in [
        "vm.labels.app == 'shop'",
        "vm.name.like('web-*') && vm.memory_mib >= 4096",
        "vm.name.startsWith('web') && !vm.name.endsWith('3')",
        "'app' in vm.labels && has(vm.labels.tier)",
        "['a2', 'a9'].exists(it, it in vm.arrays)",
        "vm.arrays.all(it, it.startsWith('a'))",
        "int(vm.labels.tier) == 2",
        "vm.labels['app'] in ['shop', 'crm']",
    ] {
        assert_eq!(holds(text), Ok(true), "{text}");
    }
}

#[test]
fn a_label_that_is_not_there_matches_nothing_and_gives_nothing() {
    assert_eq!(holds("vm.labels.sla == 'gold'"), Ok(false));
    assert_eq!(holds("vm.labels.sla != 'gold'"), Ok(false));
    assert_eq!(holds("vm.labels.sla == 'gold' || vm.name == 'web-12'"), Ok(true));
    assert_eq!(holds("vm.labels.sla == 'gold' || vm.name == 'x'"), Ok(false));
    assert_eq!(Formula::read("vm.labels.sla").unwrap().text(&context()), Ok(None));
    assert_eq!(Formula::read("vm.labels.sla + 'x'").unwrap().text(&context()), Ok(None));
}

#[test]
fn what_gives_the_wrong_kind_says_so() {
    assert_eq!(holds("vm.name"), Err("it gives text, not true or false".to_owned()));
    assert_eq!(Formula::read("vm.labels").unwrap().text(&context()), Err("it gives a map, not text".to_owned()));
    let number = Formula::read("vm.name").unwrap().number(&context());
    assert_eq!(number, Err("it gives text, not a whole number".to_owned()));
    assert!(holds("vm.name > 3").is_err());
    assert!(holds("int(vm.name) > 3").is_err());
    assert!(holds("nonsense(vm.name)").is_err());
    assert!(holds("1 / 0 == 1").is_err());
}

#[test]
fn slips_are_found_before_any_vm_is_looked_at() {
    insta::assert_snapshot!(
        [
            "vm.label.app == 'shop'",
            "vm.owner == 'ann'",
            "vm.name == web",
            "vm.name = 'web'",
            "vm.name == 'web",
            "",
            "vm.labels.exists(it, it == 'app')",
            "[1, 2].exists(a, [3, 4].exists(b, a == b))",
        ]
        .map(|text| format!("{text}\n  {}", faults(text)))
        .join("\n")
    );
}

#[test]
fn length_and_depth_are_bounded() {
    assert!(faults(&"a".repeat(MAX_LENGTH + 1)).contains("bytes"));
    assert!(faults(&format!("{}1{}", "(".repeat(13), ")".repeat(13))).contains("nested"));
}

/// Each of these is the deepest of its kind that the bounds allow, and half of them mean nothing.
#[test]
fn the_deepest_that_is_allowed_does_not_overflow_the_stack() {
    let all = [
        format!("{}true", "!".repeat(496)),
        format!("{}1 == 1", "-".repeat(493)),
        format!("{} > 0", ["1"; 248].join("+")),
        format!("{} > 0", ["1"; 248].join("*")),
        format!("true{}", "?true:true".repeat(49)),
        format!("true{}", "&&true".repeat(82)),
        format!("1{}", "==1".repeat(166)),
        format!("1{}", "<1".repeat(249)),
        format!("{}1{} == 1", "(".repeat(12), ")".repeat(12)),
        format!("{}1{} == 1", "(!(-(".repeat(4), ")))".repeat(4)),
        format!("{}1{} == 1", "[".repeat(12), "]".repeat(12)),
        format!("vm{}", ".a".repeat(249)),
        format!("vm.name{} == ''", ".x()".repeat(121)),
        format!("vm{} == ''", "[0]".repeat(164)),
        format!("'a'{}", " in 'a'".repeat(71)),
        format!("{}1{}", "{1:".repeat(12), "}".repeat(12)),
        format!("{}1{} == 1", "size(".repeat(12), ")".repeat(12)),
    ];
    for text in all {
        assert!(text.len() <= MAX_LENGTH, "{}: {text}", text.len());
        let tried = crate::stack::with_room(|| {
            let Ok(formula) = Formula::read(&text) else { return };
            let _ = formula.holds(&context());
        });
        assert_eq!(tried, Some(()), "{text}");
    }
}

#[test]
fn a_pattern_is_like_what_its_stars_stand_for() {
    for (pattern, text, like) in [
        ("web-*", "web-12", true),
        ("web-*", "db-web-1", false),
        ("*-web-*", "db-web-1", true),
        ("*", "", true),
        ("", "", true),
        ("", "a", false),
        ("a*a", "a", false),
        ("a*b*c", "abcbc", true),
        ("a**c", "abc", true),
        ("web", "web", true),
    ] {
        assert_eq!(matches(pattern, text), like, "{pattern} {text}");
    }
}
