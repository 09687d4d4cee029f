//! The language detector against the crate `langdetect`, a port of the original that is compared with
//! it: the same language and the same bits of its probability.

use c4_filters::langdetect::{LangdetectAnswer, detect};
use c4_tests::shared;
use flate2::read::MultiGzDecoder;
use langdetect::{Compat, DetectorFactory, Seed};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

static ORACLE: LazyLock<DetectorFactory> = LazyLock::new(|| {
    let mut factory = DetectorFactory::new(Compat::python(11));
    factory.seed = Seed::Int(0);
    let mut files = DetectorFactory::builtin_files();
    files.sort_unstable();
    factory.load_builtin(&files).expect("the built-in profiles");
    factory
});

/// `None` for undetectable, then `None` for no probable language.
type Answer<'a> = Option<Option<(&'a str, u64)>>;

fn assert_same(text: &str) {
    let expected = ORACLE.detect_langs(text).ok();
    let expected: Answer = expected
        .as_ref()
        .map(|languages| languages.first().map(|l| (l.lang.as_str(), l.prob.to_bits())));
    let found: Answer = match detect(text) {
        LangdetectAnswer::Undetectable => None,
        LangdetectAnswer::Nothing => Some(None),
        LangdetectAnswer::Best { language, probability } => Some(Some((language, probability.to_bits()))),
    };
    assert_eq!(found, expected, "{text:?}");
}

/// Checks texts on all cores.
fn assert_all_same<T: AsRef<str> + Sync>(texts: &[T]) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for part in texts.chunks(texts.len().div_ceil(threads).max(1)) {
            scope.spawn(move || part.iter().for_each(|text| assert_same(text.as_ref())));
        }
    });
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

/// Words of many languages and scripts.
const WORDS: &[&str] = &[
    "the and of to in that is was he for it with as his on be at by had not are but from have they \
     which one you were all her she there would their we him been has when who will no more if out",
    "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es über",
    "de la le et les des en un du une que est pour qui dans par plus pas au sur ne été à où être",
    "el en y a los del se las por un para con no una su al lo como más pero sus está años también",
    "o não é dos da em um para com uma os no se na por mais as ção coração São João então",
    "di che è la il per in una non sono con si da come anche più perché città così",
    "w i na z do się nie jest to że przez od po który być może także są źródło łódź święta",
    "a v se na je že s o z do i to jako ve byl který podle příliš žluťoučký kůň úpěl ďábelské ódy",
    "ve bir bu da için ile olarak çok daha olan gibi kadar değil ğ ş ı İstanbul",
    "och att det i en som är av för på med den till inte om ett har jag å ä ö",
    "și în că este din la pe cu să nu mai ce care sunt pentru ţară ţ ş ț ș",
    "và của là có không được trong cho một những các người Việt Nam đã với này khi đến",
    "и в не на что с по это как он к но из у за о же так от был я мы они все человек",
    "і у та що не на з до як від це за її він вони був також є ґ ї",
    "και το να του η της με για την είναι που από στο δεν θα τα",
    "של את על לא הוא זה עם כל גם אני היא או אם יש",
    "في من على أن إلى عن مع هذا التي الذي كان لا هو ما بين",
    "در و به از که این است را با برای یک می‌شود آن های ایران یکی",
    "اور کے میں کی ہے سے کا کو نے پر یہ ایک ہیں",
    "के में है की और से का को पर यह नहीं एक हैं लिए भारत",
    "এবং এই থেকে করে তার জন্য একটি হয় যে",
    "மற்றும் ஒரு இந்த என்று அவர் உள்ள தமிழ்",
    "మరియు ఒక ఈ ఆ అని తెలుగు",
    "ที่ และ ใน การ เป็น ของ มี ไม่ ได้ ให้ กับ ว่า ประเทศไทย",
    "的 一 是 不 了 在 人 有 我 他 这 个 们 中 来 上 大 为 和 国 我们的祖国是花园",
    "我們 這個 國家 臺灣 電腦 網路 學習 歷史 發現 繁體中文",
    "の に は を た が で て と し れ さ ある いる も する から な こと として い や 東京 日本語 カタカナ テレビ",
    "이 그 저 것 수 등 들 및 에서 그리고 대한민국 서울 사람 한국어",
    "ქართული ენა არის",
    "հայերեն լեզու",
    "ລາວ ພາສາ",
    "ㄅㄆㄇ ㆠㆡ",
    "𐐀𐐁 𝐀𝐁 😀 🎉 𠀀 𐌰",
    "· ² ³ £ \u{ad} « » ° ª º × ÷ ƒ ǰ ɐ ʰ \u{300} \u{301} \u{303} \u{309} \u{323} … “ ” ‘ ’ – — \u{200b} \u{3000} ：、。",
];

const ADDRESSES: &[&str] = &[
    "http://example.org",
    "https://example.org/a-b_c.html?x=1&y=~2;+#z",
    "http://",
    "https:// x",
    "http:/x",
    "httphttp://a",
    "http://ahttp://b",
    "https://ex@mple.org",
    "HTTP://EXAMPLE.ORG",
    "http://é",
    "ftp://x.org",
    "a@b",
    "a@bc",
    "a@b.c",
    "first.last@mail.example.org",
    "@x",
    "x@",
    "a@b@c.de",
    "a@bc@d.ef",
    "-_.@-_.",
    "a@.b",
    "ü@ö.de",
    "müller@web.de",
    "a@_",
    "a@b-",
];

const SEPARATORS: &[&str] = &[
    " ", " ", " ", " ", "  ", "\n", ", ", ". ", "-", "_", "", "\u{a0}", "\t", "! ", "^", "…",
];

/// A text put together by chance.
fn made_up(dice: &mut Dice) -> String {
    let languages: Vec<&str> = (0..1 + dice.below(3)).map(|_| dice.pick(WORDS)).collect();
    let strangers = dice.below(4);
    let words = match dice.below(60) {
        0 => 2_000 + dice.below(3_000),
        1..10 => 100 + dice.below(400),
        10..35 => 1 + dice.below(8),
        _ => 5 + dice.below(60),
    };
    let mut text = String::new();
    for _ in 0..words {
        let words = match dice.below(40) < strangers {
            true => dice.pick(WORDS),
            false => dice.pick(&languages),
        };
        let words: Vec<&str> = words.split(' ').collect();
        let word = dice.pick(&words);
        match dice.below(70) {
            0 => text.push_str(dice.pick(ADDRESSES)),
            1 => text.extend((0..dice.below(90)).map(|_| dice.pick(&["a", "Z", "0", "-", ".", "_"]))),
            2 => text.push_str(&dice.below(100_000).to_string()),
            3 => text.extend(word.chars().rev()),
            4 => text.extend(word.chars().flat_map(|c| [c, '\u{301}'])),
            5 | 6 => text.extend(char::from_u32(dice.below(0x11_0000) as u32)),
            7 => text.extend(char::from_u32(dice.below(0x3000) as u32)),
            8..13 => text.push_str(&word.to_uppercase()),
            13..20 => {
                let mut letters = word.chars();
                text.extend(letters.next().into_iter().flat_map(char::to_uppercase));
                text.push_str(letters.as_str());
            }
            _ => text.push_str(word),
        }
        text.push_str(dice.pick(SEPARATORS));
    }
    text
}

#[test]
fn made_up_texts() {
    let count = std::env::var("C4_LANGDETECT_TEXTS").map_or(20_000, |count| count.parse().expect("a number"));
    let mut dice = Dice(1);
    let texts: Vec<String> = (0..count).map(|_| made_up(&mut dice)).collect();
    assert_all_same(&texts);
}

/// What crosses the 10,000th code point, and addresses at the limits of their patterns.
#[test]
fn limits() {
    let mut texts = Vec::new();
    for filler in ["a", "é ", "я", "あ", "😀 "] {
        for length in (9_900..9_932).chain(9_990..10_004) {
            for tail in [
                "http://x.org/abc the end",
                "me@example.org the end",
                "e\u{301}\u{301} the",
                " Das ist",
            ] {
                let head: String = filler.chars().cycle().take(length).collect();
                texts.push(head + tail);
            }
        }
    }
    for length in [
        1, 2, 3, 63, 64, 65, 66, 128, 254, 255, 256, 257, 509, 510, 511, 512, 765, 2075, 2076, 2077, 4200,
    ] {
        let run = "a".repeat(length);
        let dots = "a.".repeat(length);
        for text in [
            format!("{run}@{run}"),
            format!("{run}@{run}.{run} {run}"),
            format!("{dots}@{dots}"),
            format!("b@{run}.{dots}"),
            format!("http://{run}"),
            format!("https://{dots}http://{run}"),
            format!("http://{run}@{run}é the"),
        ] {
            texts.push(text);
        }
    }
    assert_all_same(&texts);
}

/// Every code point alone, between letters, and before a capital: its class, and if it is upper case.
#[test]
fn code_points() {
    let texts: Vec<String> = ('\0'..=char::MAX)
        .filter(|&c| c < '\u{30000}' || (c as u32).is_multiple_of(251))
        .map(|c| format!("{c} {c}A e{c}h"))
        .collect();
    // Most have no n-gram but these: a few of those are enough.
    let interesting = |c: char| c < '\u{3400}' || c.is_alphabetic() && !('\u{3400}'..'\u{4e00}').contains(&c);
    let (most, rest): (Vec<_>, Vec<_>) = texts
        .into_iter()
        .partition(|text| text.chars().next().is_some_and(interesting));
    assert_all_same(&most.into_iter().step_by(3).collect::<Vec<_>>());
    assert_all_same(&rest.into_iter().step_by(97).collect::<Vec<_>>());
}

/// Whole records and single lines of the archives in a folder.
fn archives(folder: &str) {
    let Some(folder) = shared(folder) else { return };
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".wet") || name.ends_with(".wet.gz")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let pages = pages(&file);
        let lines: Vec<&str> = pages.iter().flat_map(|page| page.lines()).collect();
        println!("{}: {} pages, {} lines", file.display(), pages.len(), lines.len());
        assert!(!lines.is_empty(), "{}", file.display());
        assert_all_same(&pages);
        let step = lines.len().div_ceil(MOST_LINES).max(1);
        let lines: Vec<&str> = lines.into_iter().step_by(step).collect();
        assert_all_same(&lines);
    }
}

/// Lines of one archive that are looked at.
const MOST_LINES: usize = 30_000;

/// The records of an archive, whatever they are, cut at their version lines, as both kinds of line
/// ends allow.
fn pages(file: &Path) -> Vec<String> {
    let raw = fs::read(file).expect("a readable file");
    let mut bytes = Vec::new();
    if raw.starts_with(&[0x1f, 0x8b]) {
        // Some end in the middle of a member: what is there before counts.
        let _ = MultiGzDecoder::new(&raw[..]).read_to_end(&mut bytes);
    } else {
        bytes = raw;
    }
    let text = String::from_utf8_lossy(&bytes);
    text.split("WARC/")
        .filter_map(|record| {
            let crlf = record.split_once("\r\n\r\n");
            crlf.or_else(|| record.split_once("\n\n"))
        })
        .map(|(_, body)| body.to_owned())
        .collect()
}

#[test]
fn pages_of_small_archives() {
    archives("wet");
}

#[test]
fn pages_of_crawls() {
    archives("bench");
}
