//! The parts of a build, each on the texts of one archive: `make bench INPUT=archive`.

use c4_data::Page;
use c4_data::{DetectorKind, Lists, Recipe};
use c4_filters::rules::bad_words::BadWords;
use c4_filters::{Cleaner, dedup, language_rule, punkt, url};
use c4_pipeline::read::outcome::Split;
use c4_pipeline::read::{Source, split};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::path::{Path, PathBuf};

fn input() -> PathBuf {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/samples/sample-00001.warc.wet.gz");
    std::env::var_os("INPUT").map_or_else(
        || sample.into(),
        |input| Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(input),
    )
}

fn pages(recipe: &Recipe) -> Vec<Page> {
    let mut source = Source::open(&input(), &recipe.read)
        .expect("a readable INPUT")
        .expect("INPUT is a crawl archive");
    let mut pages = Vec::new();
    while let Some(batch) = source.next_batch().expect("a readable INPUT") {
        pages.extend(split(batch).flatten().filter_map(|split| match split {
            Split::Page(page) => Some(page),
            _ => None,
        }));
    }
    pages
}

fn parts(criterion: &mut Criterion) {
    let (recipe, base) = Recipe::load("en").expect("a built-in recipe");
    let lists = Lists::load(&recipe, &base).expect("built-in lists");
    let step = recipe.bad_words.as_ref().expect("en has a list");
    let bad_words = BadWords::new(step, &lists).expect("the list compiles");
    let cleaner = Cleaner::new(&recipe);
    let pages = pages(&recipe);
    let texts: Vec<&str> = pages.iter().map(|page| page.text.as_str()).collect();
    let lower: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();

    let mut group = criterion.benchmark_group("parts");
    group.throughput(Throughput::Bytes(texts.iter().map(|text| text.len() as u64).sum()));
    group.sample_size(10);
    let mut bench = |name: &str, part: &dyn Fn(&str)| {
        group.bench_function(name, |b| b.iter(|| texts.iter().for_each(|text| part(text))));
    };
    bench("line and page rules", &|text| {
        black_box(cleaner.clean(text));
    });
    bench("punkt, all sentences", &|text| {
        black_box(punkt::english().sentences(text).count());
    });
    bench("line keys", &|text| {
        black_box(dedup::line_keys(text));
    });
    bench("span keys", &|text| {
        black_box(dedup::span_keys(text, 3));
    });
    bench("langdetect", &|text| {
        black_box(language_rule::detect(DetectorKind::Langdetect, text));
    });
    bench("whatlang", &|text| {
        black_box(language_rule::detect(DetectorKind::Whatlang, text));
    });
    bench("cld3", &|text| {
        black_box(language_rule::detect(DetectorKind::Cld3, text));
    });
    bench("lower case", &|text| {
        black_box(text.to_lowercase());
    });
    group.bench_function("bad words, on lower case", |b| {
        b.iter(|| {
            lower.iter().for_each(|text| {
                black_box(bad_words.check("en", text, 0));
            })
        });
    });
    group.bench_function("normalised URL and its MD5", |b| {
        b.iter(|| {
            pages.iter().for_each(|page| {
                black_box(url::md5(&url::normalize(&page.url)));
            })
        });
    });
    group.finish();

    let bytes = std::fs::metadata(input()).map_or(0, |m| m.len());
    let mut group = criterion.benchmark_group("archive");
    group.throughput(Throughput::Bytes(bytes));
    group.sample_size(10);
    group.bench_function("reading to pages (compressed bytes)", |b| {
        b.iter(|| black_box(self::pages(&recipe)));
    });
    group.finish();
}

criterion_group!(benches, parts);
criterion_main!(benches);
