//! Row builders whose columns are created when first used.
//!
//! `CommonSecurityLog` has 150 columns, of which a message fills about twenty; unused columns cost nothing.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, Int32Builder, Int64Builder, RecordBatch, StringViewBuilder};
use model::{Column, TableName, Timestamp, Type};

/// Declares a table: an enum of its columns with their types.
macro_rules! columns {
    ($(#[$doc:meta])* $table:ident { $($column:ident: $ty:ident),* $(,)? }) => {
        $(#[$doc])*
        #[allow(non_camel_case_types, reason = "columns keep their names")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $table { $($column),* }

        impl $table {
            pub const COLUMNS: &'static [(&'static str, Type)] = &[$((stringify!($column), Type::$ty)),*];
        }
    };
}

columns! {
    /// Columns of `Syslog` filled here; the workspace adds the rest.
    Syslog {
        TimeGenerated: Datetime, EventTime: Datetime, Computer: String, HostName: String, HostIP: String, Facility: String,
        SeverityLevel: String, ProcessName: String, ProcessID: Int, SyslogMessage: String, CollectorHostName: String, SourceSystem: String,
    }
}

columns! {
    /// Columns of `DCRLogErrors`, the dead-letter table.
    Letter {
        TimeGenerated: Datetime, OperationName: String, Record_CF: String, Message: String, InputStreamId: String, ClientRequestId: String,
    }
}

columns! {
    /// Columns of `CommonSecurityLog` filled here.
    Security {
        TimeGenerated: Datetime, Activity: String, AdditionalExtensions: String, ApplicationProtocol: String, CollectorHostName: String,
        CommunicationDirection: String, Computer: String, DestinationDnsDomain: String, DestinationHostName: String, DestinationIP: String,
        DestinationMACAddress: String, DestinationNTDomain: String, DestinationPort: Int, DestinationProcessId: Int,
        DestinationProcessName: String, DestinationServiceName: String, DestinationTranslatedAddress: String,
        DestinationTranslatedPort: Int, DestinationUserID: String, DestinationUserName: String, DestinationUserPrivileges: String,
        DeviceAction: String, DeviceAddress: String, DeviceCustomDate1: String, DeviceCustomDate1Label: String, DeviceCustomDate2: String,
        DeviceCustomDate2Label: String, DeviceCustomFloatingPoint1: Real, DeviceCustomFloatingPoint1Label: String,
        DeviceCustomFloatingPoint2: Real, DeviceCustomFloatingPoint2Label: String, DeviceCustomFloatingPoint3: Real,
        DeviceCustomFloatingPoint3Label: String, DeviceCustomFloatingPoint4: Real, DeviceCustomFloatingPoint4Label: String,
        DeviceCustomIPv6Address1: String, DeviceCustomIPv6Address1Label: String, DeviceCustomIPv6Address2: String,
        DeviceCustomIPv6Address2Label: String, DeviceCustomIPv6Address3: String, DeviceCustomIPv6Address3Label: String,
        DeviceCustomIPv6Address4: String, DeviceCustomIPv6Address4Label: String, DeviceCustomNumber1Label: String,
        DeviceCustomNumber2Label: String, DeviceCustomNumber3Label: String, DeviceCustomString1: String, DeviceCustomString1Label: String,
        DeviceCustomString2: String, DeviceCustomString2Label: String, DeviceCustomString3: String, DeviceCustomString3Label: String,
        DeviceCustomString4: String, DeviceCustomString4Label: String, DeviceCustomString5: String, DeviceCustomString5Label: String,
        DeviceCustomString6: String, DeviceCustomString6Label: String, DeviceDnsDomain: String, DeviceEventCategory: String,
        DeviceEventClassID: String, DeviceExternalID: String, DeviceFacility: String, DeviceInboundInterface: String,
        DeviceMacAddress: String, DeviceName: String, DeviceNtDomain: String, DeviceOutboundInterface: String, DevicePayloadId: String,
        DeviceProduct: String, DeviceTimeZone: String, DeviceTranslatedAddress: String, DeviceVendor: String, DeviceVersion: String,
        EndTime: Datetime, EventCount: Int, EventOutcome: String, EventType: Int, ExtID: String, FieldDeviceCustomNumber1: Long,
        FieldDeviceCustomNumber2: Long, FieldDeviceCustomNumber3: Long, FileCreateTime: String, FileHash: String, FileID: String,
        FileModificationTime: String, FileName: String, FilePath: String, FilePermission: String, FileSize: Int, FileType: String,
        FlexDate1: String, FlexDate1Label: String, FlexNumber1: Int, FlexNumber1Label: String, FlexNumber2: Int, FlexNumber2Label: String,
        FlexString1: String, FlexString1Label: String, FlexString2: String, FlexString2Label: String, LogSeverity: String, Message: String,
        OldFileCreateTime: String, OldFileHash: String, OldFileID: String, OldFileModificationTime: String, OldFileName: String,
        OldFilePath: String, OldFilePermission: String, OldFileSize: Int, OldFileType: String, ProcessID: Int, ProcessName: String,
        Protocol: String, Reason: String, ReceiptTime: String, ReceivedBytes: Long, RequestClientApplication: String,
        RequestContext: String, RequestCookies: String, RequestMethod: String, RequestURL: String, SentBytes: Long,
        SourceDnsDomain: String, SourceHostName: String, SourceIP: String, SourceMACAddress: String, SourceNTDomain: String,
        SourcePort: Int, SourceProcessId: Int, SourceProcessName: String, SourceServiceName: String, SourceSystem: String,
        SourceTranslatedAddress: String, SourceTranslatedPort: Int, SourceUserID: String, SourceUserName: String,
        SourceUserPrivileges: String, StartTime: Datetime,
    }
}

/// Rows of a table, taken out.
#[derive(Clone, Debug)]
pub struct Rows {
    pub table: TableName,
    pub columns: Vec<Column>,
    pub batch: RecordBatch,
}

enum Slot {
    Text(StringViewBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Real(Float64Builder),
}

/// Rows of one table, column by column.
pub struct TableRows {
    table: TableName,
    columns: &'static [(&'static str, Type)],
    /// For each column its index in `filled`, if used.
    places: Vec<Option<usize>>,
    filled: Vec<(usize, Slot)>,
    /// Number of complete rows.
    rows: usize,
}

impl TableRows {
    pub fn new(table: &str, columns: &'static [(&'static str, Type)]) -> Self {
        Self { table: TableName::new(table), columns, places: vec![None; columns.len()], filled: Vec::new(), rows: 0 }
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    fn slot(&mut self, column: usize) -> &mut Slot {
        let place = match self.places[column] {
            Some(place) => place,
            None => {
                let mut slot = Slot::of(self.columns[column].1);
                slot.pad(self.rows);
                self.filled.push((column, slot));
                self.places[column] = Some(self.filled.len() - 1);
                self.filled.len() - 1
            }
        };
        &mut self.filled[place].1
    }

    /// Whether the current row has a value in the column.
    pub fn has(&self, column: usize) -> bool {
        self.places[column].is_some_and(|place| self.filled[place].1.len() > self.rows)
    }

    /// Parses and writes a value. Returns `false`, without writing, if the column's type cannot hold it or the row has a value already.
    pub fn put(&mut self, column: usize, value: &str) -> bool {
        if value.is_empty() {
            return true;
        }
        if self.has(column) {
            return false;
        }
        match self.columns[column].1 {
            Type::Int => value.parse().map(|number| self.int(column, number)).is_ok(),
            Type::Long => value.parse().map(|number| self.long(column, number)).is_ok(),
            Type::Real => match (value.parse::<f64>(), self.slot(column)) {
                (Ok(number), Slot::Real(builder)) => {
                    builder.append_value(number);
                    true
                }
                _ => false,
            },
            Type::Datetime => false,
            _ => {
                if let Slot::Text(builder) = self.slot(column) {
                    builder.append_value(value);
                }
                true
            }
        }
    }

    pub fn time(&mut self, column: usize, time: Timestamp) {
        self.long(column, time.ticks());
    }

    fn int(&mut self, column: usize, number: i32) {
        if let Slot::Int(builder) = self.slot(column) {
            builder.append_value(number);
        }
    }

    fn long(&mut self, column: usize, number: i64) {
        if let Slot::Long(builder) = self.slot(column) {
            builder.append_value(number);
        }
    }

    /// Ends the row: unset columns stay empty.
    pub fn end(&mut self) {
        self.rows += 1;
        for (_, slot) in &mut self.filled {
            slot.pad(self.rows);
        }
    }

    /// Takes the rows out of the builder.
    pub fn take(&mut self) -> Option<Rows> {
        if self.rows == 0 {
            return None;
        }
        self.rows = 0;
        self.places.fill(None);
        let filled = std::mem::take(&mut self.filled);
        let columns: Vec<Column> = filled.iter().map(|(column, _)| Column::new(self.columns[*column].0, self.columns[*column].1)).collect();
        let arrays = filled.into_iter().map(|(_, slot)| slot.finish()).collect();
        // `end` pads all columns to the same length, so this cannot fail.
        let batch = RecordBatch::try_new(model::arrow_schema(&columns), arrays).ok()?;
        Some(Rows { table: self.table.clone(), columns, batch })
    }
}

impl Slot {
    fn of(ty: Type) -> Self {
        match ty {
            Type::Int => Slot::Int(Int32Builder::new()),
            Type::Long | Type::Datetime => Slot::Long(Int64Builder::new()),
            Type::Real => Slot::Real(Float64Builder::new()),
            _ => Slot::Text(StringViewBuilder::new()),
        }
    }

    fn len(&self) -> usize {
        use arrow::array::ArrayBuilder as _;
        match self {
            Slot::Text(builder) => builder.len(),
            Slot::Int(builder) => builder.len(),
            Slot::Long(builder) => builder.len(),
            Slot::Real(builder) => builder.len(),
        }
    }

    fn pad(&mut self, rows: usize) {
        for _ in self.len()..rows {
            match self {
                Slot::Text(builder) => builder.append_value(""),
                Slot::Int(builder) => builder.append_null(),
                Slot::Long(builder) => builder.append_null(),
                Slot::Real(builder) => builder.append_null(),
            }
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Slot::Text(mut builder) => Arc::new(builder.finish()),
            Slot::Int(mut builder) => Arc::new(builder.finish()),
            Slot::Long(mut builder) => Arc::new(builder.finish()),
            Slot::Real(mut builder) => Arc::new(builder.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name: type` lines of a built-in table.
    fn built_in(table: &str) -> Vec<(String, Type)> {
        let path = format!("{}/../../content/tables/{table}.yaml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(": "));
        lines.map(|(name, ty)| (name.to_owned(), Type::parse(ty).unwrap())).collect()
    }

    #[test]
    fn every_column_is_in_its_table() {
        for (table, columns) in [("Syslog", Syslog::COLUMNS), ("CommonSecurityLog", Security::COLUMNS), ("DCRLogErrors", Letter::COLUMNS)] {
            let known = built_in(table);
            for (name, ty) in columns {
                assert!(known.contains(&((*name).to_owned(), *ty)), "{table}.{name}: {ty}");
            }
        }
    }

    #[test]
    fn columns_begin_when_they_are_filled() {
        let mut rows = TableRows::new("Syslog", Syslog::COLUMNS);
        rows.put(Syslog::Computer as usize, "a");
        rows.end();
        assert!(rows.put(Syslog::ProcessID as usize, "12"));
        assert!(!rows.put(Syslog::ProcessID as usize, "13"), "a row has one value a column");
        assert!(!rows.put(Syslog::TimeGenerated as usize, "soon"));
        rows.end();
        let taken = rows.take().unwrap();
        assert_eq!(taken.batch.num_rows(), 2);
        assert_eq!(taken.batch.schema().fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["Computer", "ProcessID"]);
        assert!(rows.take().is_none());
    }
}
