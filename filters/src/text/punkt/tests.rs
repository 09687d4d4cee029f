use super::*;

fn split(text: &str) -> Vec<&str> {
    english().sentences(text).map(|span| &text[span]).collect()
}

#[test]
fn the_tables_are_complete_and_can_be_looked_up() {
    let punkt = english();
    let count = |flag| punkt.holders.values().filter(|&&flags| flags & flag != 0).count();
    assert_eq!(count(ABBREVIATION), 156);
    assert_eq!(count(COLLOCATES), 5);
    assert_eq!(punkt.collocations.len(), 37);
    let starters = punkt.contexts.values().filter(|&&bits| bits & STARTER != 0).count();
    assert_eq!(starters, 39);
    let words = punkt.contexts.values().filter(|&&bits| bits & !STARTER != 0).count();
    assert_eq!(words, 20_366);
    let seconds = punkt.collocations.iter().map(|(_, second)| second);
    for word in punkt.contexts.keys().chain(punkt.holders.keys()).chain(seconds) {
        assert!(*word == NUMBER || lower(word, &mut [0; MAX_KEY]) == Some(*word));
    }
}

#[test]
fn the_heuristics_decide_as_published() {
    assert_eq!(split("Mr. Smith left. He won."), ["Mr. Smith left.", "He won."]);
    assert_eq!(split("At 5 p.m. The end."), ["At 5 p.m.", "The end."]);
    assert_eq!(split("By J. Aron. Ok."), ["By J. Aron.", "Ok."]);
    assert_eq!(split("(It ended.) \"So?\" Yes"), ["(It ended.)", "\"So?\"", "Yes"]);
    assert_eq!(split("hello.She ran"), ["hello.She ran"]);
    assert_eq!(split(" \u{1c}\u{a0}\n"), [""; 0]);
}

#[test]
fn counting_stops_early_and_agrees_with_the_iterator() {
    for text in [
        "",
        " ",
        "A b.",
        "Go on. ) ",
        "Go on! \" ' ",
        "It is. So it is. \")\n",
        "?) !",
    ] {
        let sentences = split(text).len();
        for n in 0..5 {
            assert_eq!(english().has_at_least(text, n), sentences >= n, "{text:?}, {n}");
        }
    }
    let text = "This is short. ".repeat(1000);
    let mut sentences = english().sentences(&text);
    assert_eq!(sentences.next(), Some(0..14));
    assert!(sentences.breaks.scan <= 30);
}

#[test]
fn hostile_text_takes_linear_time() {
    // With quadratic steps each of these would run for a minute.
    let units = [
        ".",
        " ",
        "\"",
        "?",
        "a.",
        "a. ",
        ". ",
        ". \"",
        "?)",
        "?) ",
        ".)--",
        "a?b?",
        "-.",
        "A. ",
        "Mr. ",
        "5. b",
        "1.,-",
        "- . ",
        "a.\u{a0}",
        ".\u{a0}",
        "\u{e9}?",
        "\u{3000}",
        "a?)\u{2003}",
    ];
    for unit in units {
        let text = format!("Go on. {}. So)\"", unit.repeat(250_000 / unit.len()));
        let mut end = 0;
        for span in english().sentences(&text) {
            assert!(end <= span.start && span.start < span.end, "{unit:?}");
            end = span.end;
        }
        assert_eq!(end, text.len(), "{unit:?}");
    }
}
