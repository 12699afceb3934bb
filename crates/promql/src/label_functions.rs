//! `label_replace` and `label_join`.

use tidemark_model::regex::{RegexWork, Replacer};

use super::error::Error;
use super::evaluate::Evaluator;
use super::expr::Expr;
use super::pause::Pause;
use super::query::Steps;
use super::row::{Row, merged};

/// The work of matching and replacing a typical label.
const UNITS_PER_REPLACEMENT: usize = 100;

impl<P: Pause> Evaluator<'_, P> {
    /// Sets a label to a replacement, if the value of another label matches a regex.
    pub(crate) async fn label_replace(
        &self,
        args: &[Expr],
        steps: Steps,
        held: usize,
    ) -> Result<Vec<Row>, Error> {
        let [vector, to, replacement, from, regex] = args else {
            return Err(Error::Execution("expected 5 arguments".to_owned()));
        };
        let to = self.eval_string(to, steps).await?;
        let replacement = self.eval_string(replacement, steps).await?;
        let from = self.eval_string(from, steps).await?;
        let regex = self.eval_string(regex, steps).await?;
        let work = RegexWork::limited();
        let replacer = Replacer::new(&format!("^(?s:{regex})$"), &work);
        let mut replacer = replacer.map_err(|_| {
            let message = "invalid regular expression in label_replace(): ";
            Error::Execution(format!("{message}{regex}"))
        })?;
        if to.is_empty() {
            let message = "invalid destination label name in label_replace(): ";
            return Err(Error::Execution(message.to_owned()));
        }
        let mut rows = self.eval_vector(vector, steps, held).await?;
        for row in &mut rows {
            let value = replacer.replace(row.labels.get(&from), &replacement);
            if let Some(value) = value.map_err(|error| Error::TooMuch(error.to_string()))? {
                row.labels = row.labels.with(&to, &value);
            }
            self.work.add(UNITS_PER_REPLACEMENT).await;
        }
        merged(rows)
    }

    /// Sets a label to the joined values of other labels.
    pub(crate) async fn label_join(
        &self,
        args: &[Expr],
        steps: Steps,
        held: usize,
    ) -> Result<Vec<Row>, Error> {
        let [vector, to, separator, from @ ..] = args else {
            return Err(Error::Execution("expected at least 3 arguments".to_owned()));
        };
        let to = self.eval_string(to, steps).await?;
        let separator = self.eval_string(separator, steps).await?;
        let mut names = vec![];
        for name in from {
            let name = self.eval_string(name, steps).await?;
            if name.is_empty() {
                let message = "invalid source label name in label_join(): ";
                return Err(Error::Execution(message.to_owned()));
            }
            names.push(name);
        }
        if to.is_empty() {
            let message = "invalid destination label name in label_join(): ";
            return Err(Error::Execution(message.to_owned()));
        }
        let mut rows = self.eval_vector(vector, steps, held).await?;
        for row in &mut rows {
            let values: Vec<_> = names.iter().map(|name| row.labels.get(name)).collect();
            row.labels = row.labels.with(&to, &values.join(&separator));
            self.work.add(names.len()).await;
        }
        merged(rows)
    }
}
