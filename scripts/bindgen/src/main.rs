//! Generates the JavaScript of a WebAssembly module with `wasm-bindgen`. Compiling this program
//! takes less than half the time of wasm-bindgen-cli, which also contains a web server and an HTTP
//! client.
//!
//! ```text
//! bindgen [--FLAG]… --target KIND --out-dir FOLDER --out-name NAME MODULE
//! ```

use std::error::Error;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let mut bindgen = Bindgen::new();
    bindgen.typescript(false).omit_default_module_path(false);
    let mut folder = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} has no value"));
        match argument.as_str() {
            "--out-dir" => folder = Some(value()?),
            "--out-name" => drop(bindgen.out_name(&value()?)),
            "--target" => match value()?.as_str() {
                "module" => drop(bindgen.module(true)?),
                "web" => drop(bindgen.web(true)?),
                other => return Err(format!("unknown target {other}").into()),
            },
            "--experimental-reset-state-function" => drop(bindgen.reset_state_function(true)),
            "--force-enable-abort-handler" => drop(bindgen.force_enable_abort_handler(true)),
            "--remove-name-section" => drop(bindgen.remove_name_section(true)),
            flag if flag.starts_with("--") => return Err(format!("unknown option {flag}").into()),
            module => drop(bindgen.input_path(module)),
        }
    }
    Ok(bindgen.generate(folder.ok_or("--out-dir is missing")?)?)
}
