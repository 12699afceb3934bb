//! Converts an Arrow stream to another format.

use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::ipc::reader::StreamDecoder;

use super::{Format, Writer};
use crate::error::QueryError;

pub(crate) struct Rewriting {
    format: Format,
    rows: StreamDecoder,
    /// The writer, or `None` until the schema of the stream has been read.
    writer: Option<Writer>,
}

impl Rewriting {
    /// Creates a conversion to the format with this name.
    ///
    /// # Errors
    /// Returns an error if no format has this name.
    pub(crate) fn new(format: &str) -> Result<Self, QueryError> {
        let format = Format::from_name(format);
        let format = format.ok_or_else(|| QueryError::internal("unknown result format"))?;
        Ok(Self { format, rows: StreamDecoder::new(), writer: None })
    }

    /// Reads the next bytes of the stream. Returns the bytes of the result that are available.
    ///
    /// # Errors
    /// Returns an error if the stream is invalid, or if the format does not support a value.
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

    /// Returns the rest of the result after the end of the stream.
    ///
    /// # Errors
    /// Returns an error if the stream is incomplete.
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
