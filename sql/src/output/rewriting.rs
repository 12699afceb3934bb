//! A stream of Arrow's messages, as it comes, to another form.

use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::ipc::reader::StreamDecoder;

use super::{Format, Writer};
use crate::error::QueryError;

/// Rows of somebody else.
pub(crate) struct Rewriting {
    format: Format,
    rows: StreamDecoder,
    /// Once the columns are known.
    writer: Option<Writer>,
}

impl Rewriting {
    /// To the form of this name.
    ///
    /// # Errors
    /// There is no such form.
    pub(crate) fn new(format: &str) -> Result<Self, QueryError> {
        let format = Format::from_name(format);
        let format = format.ok_or_else(|| QueryError::internal("an unknown form of answers"))?;
        Ok(Self { format, rows: StreamDecoder::new(), writer: None })
    }

    /// Takes in the next bytes of the stream; answers what is written by then.
    ///
    /// # Errors
    /// What is no such stream, and what the form cannot hold.
    pub(crate) fn write(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, QueryError> {
        let mut bytes = Buffer::from_vec(bytes);
        while !bytes.is_empty() {
            let batch = self.rows.decode(&mut bytes)?;
            if let (Some(batch), Some(writer)) = (batch, self.writer()?) {
                writer.write(&batch)?;
            }
        }
        Ok(self.writer.as_mut().map(Writer::take).unwrap_or_default())
    }

    /// What is left to write, once the stream has ended.
    ///
    /// # Errors
    /// A stream that ends too early.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, QueryError> {
        self.rows.finish()?;
        self.writer()?;
        self.writer.map_or_else(|| Ok(Vec::new()), Writer::finish)
    }

    fn writer(&mut self) -> Result<Option<&mut Writer>, QueryError> {
        if let (None, Some(schema)) = (&self.writer, self.rows.schema()) {
            self.writer = Some(Writer::new(self.format, &schema)?);
        }
        Ok(self.writer.as_mut())
    }
}
