//! Behind export.sh: what candle-transformers' T5, and the crate `tokenizers`, make of an exported folder. A crate of
//! its own, made below target/.
//!
//! Usage: candle-t5 FOLDER TOKENS < TEXTS, where TEXTS are JSON strings, one a line. Writes a line of JSON for each:
//! its ids, the ids of the greedy answer, and that as text.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::t5::{Config, T5ForConditionalGeneration};
use std::error::Error;
use std::io::Read;
use std::path::Path;
use tokenizers::Tokenizer;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().collect();
    let (folder, most) = (Path::new(&arguments[1]), arguments[2].parse::<usize>()?);
    let tokenizer = Tokenizer::from_file(folder.join("tokenizer.json"))?;
    let mut config: Config = serde_json::from_slice(&std::fs::read(folder.join("config.json"))?)?;
    config.use_cache = false;
    let mut files: Vec<_> = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    // Sound as long as nobody changes the files.
    let values = unsafe { VarBuilder::from_mmaped_safetensors(&files, DType::F32, &Device::Cpu)? };
    let mut model = T5ForConditionalGeneration::load(values, &config)?;
    let mut texts = String::new();
    std::io::stdin().read_to_string(&mut texts)?;
    for line in texts.lines() {
        let text: String = serde_json::from_str(line)?;
        let ids = tokenizer.encode(text, true)?.get_ids().to_vec();
        let encoded = model.encode(&Tensor::new(&ids[..], &Device::Cpu)?.unsqueeze(0)?)?;
        let mut said = vec![0u32];
        while said.len() <= most {
            let read = Tensor::new(&said[..], &Device::Cpu)?.unsqueeze(0)?;
            let next = model.decode(&read, &encoded)?.squeeze(0)?.argmax(0)?.to_scalar::<u32>()?;
            if next == 1 {
                break;
            }
            said.push(next);
        }
        let decoded = tokenizer.decode(&said[1..], false)?;
        println!("{}", serde_json::json!({"ids": ids, "said": said[1..], "text": decoded}));
    }
    Ok(())
}
