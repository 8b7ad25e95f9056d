//! Entities: accounts, hosts, addresses, files and other objects of an alert.
//!
//! Kinds, identifiers and strong identifiers: learn.microsoft.com/azure/sentinel/entities-reference. One row of [`KINDS`] defines a kind:
//! its name in an entity mapping, in the REST API and in `SecurityAlert.Entities`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// UUID namespace of [`Entity::key`].
const KEYS: Uuid = Uuid::from_u128(0x0b5e_7c51_55cd_4cb1_9d0e_6d6f_2f0a_8a11);

/// The kind of an entity. Serialised by its name in an entity mapping: `Account`, `IP`, `DNS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKind {
    Account,
    Host,
    Ip,
    Url,
    FileHash,
    File,
    Process,
    Dns,
    AzureResource,
    CloudApplication,
    RegistryKey,
    RegistryValue,
    SecurityGroup,
    Malware,
    Mailbox,
    MailMessage,
    MailCluster,
    SubmissionMail,
}

/// One identifier of a kind: its name in mappings and in `SecurityAlert.Entities`, and its property in the REST API.
#[derive(Debug, PartialEq, Eq)]
pub struct Identifier {
    pub name: &'static str,
    pub property: &'static str,
}

/// Metadata of a kind of entity.
#[derive(Debug)]
pub struct KindInfo {
    pub kind: EntityKind,
    /// Name in an entity mapping: `IP`.
    pub mapping: &'static str,
    /// The REST API's `kind`: `Ip`.
    pub rest: &'static str,
    /// `Type` in `SecurityAlert.Entities`: `ip`.
    pub v3: &'static str,
    pub identifiers: &'static [Identifier],
    /// Sets of identifiers of which one suffices to identify the entity, best first.
    pub strong: &'static [&'static [&'static str]],
    /// Identifiers for the REST API's `friendlyName`; the first present one is used.
    pub friendly: &'static [&'static str],
}

macro_rules! kinds {
    ($($kind:ident $mapping:literal $rest:literal $v3:literal { $($name:literal $property:literal),* } strong [$([$($strong:literal),*]),*] friendly [$($friendly:literal),*];)*) => {
        /// All kinds, in the order of [`EntityKind`].
        pub static KINDS: &[KindInfo] = &[$(KindInfo {
            kind: EntityKind::$kind,
            mapping: $mapping,
            rest: $rest,
            v3: $v3,
            identifiers: &[$(Identifier { name: $name, property: $property }),*],
            strong: &[$(&[$($strong),*]),*],
            friendly: &[$($friendly),*],
        }),*];
    };
}

kinds! {
    Account "Account" "Account" "account" {
        "Name" "accountName", "FullName" "fullName", "NTDomain" "ntDomain", "UPNSuffix" "upnSuffix", "DnsDomain" "dnsDomain", "Sid" "sid",
        "AadUserId" "aadUserId", "AadTenantId" "aadTenantId", "PUID" "puid", "ObjectGuid" "objectGuid", "IsDomainJoined" "isDomainJoined",
        "DisplayName" "displayName"
    } strong [["AadUserId"], ["Sid"], ["PUID"], ["ObjectGuid"], ["Name", "UPNSuffix"], ["Name", "NTDomain"], ["Name", "DnsDomain"], ["FullName"]]
      friendly ["DisplayName", "Name", "FullName", "AadUserId", "Sid"];
    Host "Host" "Host" "host" {
        "HostName" "hostName", "FullName" "fullName", "DnsDomain" "dnsDomain", "NTDomain" "ntDomain", "NetBiosName" "netBiosName",
        "AzureID" "azureID", "OMSAgentID" "omsAgentID", "OSFamily" "osFamily", "OSVersion" "osVersion", "IsDomainJoined" "isDomainJoined"
    } strong [["AzureID"], ["OMSAgentID"], ["HostName", "DnsDomain"], ["HostName", "NTDomain"], ["NetBiosName", "DnsDomain"], ["NetBiosName", "NTDomain"], ["FullName"], ["HostName"], ["NetBiosName"]]
      friendly ["HostName", "FullName", "NetBiosName", "AzureID"];
    Ip "IP" "Ip" "ip" { "Address" "address", "AddressScope" "addressScope" } strong [["Address", "AddressScope"], ["Address"]] friendly ["Address"];
    Url "URL" "Url" "url" { "Url" "url" } strong [["Url"]] friendly ["Url"];
    FileHash "FileHash" "FileHash" "filehash" { "Algorithm" "algorithm", "Value" "hashValue" } strong [["Algorithm", "Value"], ["Value"]] friendly ["Value"];
    File "File" "File" "file" { "Name" "fileName", "Directory" "directory" } strong [["Name", "Directory"], ["Name"]] friendly ["Name"];
    Process "Process" "Process" "process" {
        "ProcessId" "processId", "CommandLine" "commandLine", "ElevationToken" "elevationToken", "CreationTimeUtc" "creationTimeUtc"
    } strong [["ProcessId", "CreationTimeUtc", "CommandLine"], ["ProcessId", "CommandLine"], ["CommandLine"]] friendly ["CommandLine", "ProcessId"];
    Dns "DNS" "DnsResolution" "dns" { "DomainName" "domainName" } strong [["DomainName"]] friendly ["DomainName"];
    AzureResource "AzureResource" "AzureResource" "azure-resource" { "ResourceId" "resourceId" } strong [["ResourceId"]] friendly ["ResourceId"];
    CloudApplication "CloudApplication" "CloudApplication" "cloud-application" {
        "AppId" "appId", "Name" "appName", "InstanceName" "instanceName"
    } strong [["AppId", "InstanceName"], ["AppId"], ["Name", "InstanceName"], ["Name"]] friendly ["Name", "AppId"];
    RegistryKey "RegistryKey" "RegistryKey" "registry-key" { "Hive" "hive", "Key" "key" } strong [["Hive", "Key"], ["Key"]] friendly ["Key"];
    RegistryValue "RegistryValue" "RegistryValue" "registry-value" {
        "Name" "valueName", "Value" "valueData", "ValueType" "valueType"
    } strong [["Name", "Value"], ["Name"]] friendly ["Name"];
    SecurityGroup "SecurityGroup" "SecurityGroup" "security-group" {
        "DistinguishedName" "distinguishedName", "SID" "sid", "ObjectGuid" "objectGuid"
    } strong [["DistinguishedName"], ["SID"], ["ObjectGuid"]] friendly ["DistinguishedName", "SID", "ObjectGuid"];
    Malware "Malware" "Malware" "malware" { "Name" "malwareName", "Category" "category" } strong [["Name", "Category"], ["Name"]] friendly ["Name"];
    Mailbox "Mailbox" "Mailbox" "mailbox" {
        "MailboxPrimaryAddress" "mailboxPrimaryAddress", "DisplayName" "displayName", "Upn" "upn",
        "ExternalDirectoryObjectId" "externalDirectoryObjectId", "RiskLevel" "riskLevel"
    } strong [["MailboxPrimaryAddress"]] friendly ["DisplayName", "MailboxPrimaryAddress"];
    MailMessage "MailMessage" "MailMessage" "mailMessage" {
        "Recipient" "recipient", "Urls" "urls", "Threats" "threats", "Sender" "sender", "P1Sender" "p1Sender",
        "P1SenderDisplayName" "p1SenderDisplayName", "P1SenderDomain" "p1SenderDomain", "SenderIP" "senderIP", "P2Sender" "p2Sender",
        "P2SenderDisplayName" "p2SenderDisplayName", "P2SenderDomain" "p2SenderDomain", "ReceivedDate" "receiveDate",
        "NetworkMessageId" "networkMessageId", "InternetMessageId" "internetMessageId", "Subject" "subject",
        "BodyFingerprintBin1" "bodyFingerprintBin1", "BodyFingerprintBin2" "bodyFingerprintBin2", "BodyFingerprintBin3" "bodyFingerprintBin3",
        "BodyFingerprintBin4" "bodyFingerprintBin4", "BodyFingerprintBin5" "bodyFingerprintBin5", "AntispamDirection" "antispamDirection",
        "DeliveryAction" "deliveryAction", "DeliveryLocation" "deliveryLocation", "Language" "language",
        "ThreatDetectionMethods" "threatDetectionMethods"
    } strong [["NetworkMessageId", "Recipient"], ["NetworkMessageId"]] friendly ["Subject", "NetworkMessageId"];
    MailCluster "MailCluster" "MailCluster" "mailCluster" {
        "NetworkMessageIds" "networkMessageIds", "CountByDeliveryStatus" "countByDeliveryStatus", "CountByThreatType" "countByThreatType",
        "CountByProtectionStatus" "countByProtectionStatus", "Threats" "threats", "Query" "query", "QueryTime" "queryTime",
        "MailCount" "mailCount", "IsVolumeAnomaly" "isVolumeAnomaly", "Source" "source", "ClusterSourceIdentifier" "clusterSourceIdentifier",
        "ClusterSourceType" "clusterSourceType", "ClusterQueryStartTime" "clusterQueryStartTime", "ClusterQueryEndTime" "clusterQueryEndTime",
        "ClusterGroup" "clusterGroup"
    } strong [["Query", "Source"]] friendly ["Query"];
    SubmissionMail "SubmissionMail" "SubmissionMail" "SubmissionMail" {
        "SubmissionId" "submissionId", "SubmissionDate" "submissionDate", "Submitter" "submitter", "NetworkMessageId" "networkMessageId",
        "Timestamp" "timestamp", "Recipient" "recipient", "Sender" "sender", "SenderIp" "senderIp", "Subject" "subject", "ReportType" "reportType"
    } strong [["SubmissionId", "NetworkMessageId", "Recipient", "Submitter"]] friendly ["Subject", "NetworkMessageId"];
}

impl EntityKind {
    pub fn info(self) -> &'static KindInfo {
        // `KINDS` is in the order of the enum, which a test checks.
        &KINDS[self as usize]
    }

    /// The kind with this name in an entity mapping or in the REST API, case-insensitively.
    pub fn parse(name: &str) -> Option<Self> {
        KINDS
            .iter()
            .find(|info| [info.mapping, info.rest, info.v3].iter().any(|known| known.eq_ignore_ascii_case(name)))
            .map(|info| info.kind)
    }

    /// The identifier with this name, case-insensitively.
    pub fn identifier(self, name: &str) -> Option<&'static Identifier> {
        self.info().identifiers.iter().find(|identifier| identifier.name.eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for EntityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info().mapping)
    }
}

impl Serialize for EntityKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.info().mapping)
    }
}

impl<'de> Deserialize<'de> for EntityKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        EntityKind::parse(&name).ok_or_else(|| serde::de::Error::custom(format!("`{name}` is no kind of entity")))
    }
}

/// An entity: its kind and its identifiers, by mapping name. Empty identifiers are omitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    pub kind: EntityKind,
    pub identifiers: BTreeMap<String, String>,
}

impl Entity {
    /// The entity, or `None` if no known identifier has a value.
    pub fn new<N: AsRef<str>, V: Into<String>>(kind: EntityKind, identifiers: impl IntoIterator<Item = (N, V)>) -> Option<Self> {
        let identifiers: BTreeMap<String, String> = identifiers
            .into_iter()
            .filter_map(|(name, value)| {
                let value: String = value.into();
                let known = kind.identifier(name.as_ref())?;
                (!value.trim().is_empty()).then(|| (known.name.to_owned(), value))
            })
            .collect();
        (!identifiers.is_empty()).then_some(Self { kind, identifiers })
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.identifiers.get(name).map(String::as_str)
    }

    /// Whether the identifiers are sufficient to identify the entity.
    pub fn is_strong(&self) -> bool {
        self.strong_set().is_some()
    }

    fn strong_set(&self) -> Option<&'static [&'static str]> {
        self.kind.info().strong.iter().copied().find(|set| set.iter().all(|name| self.identifiers.contains_key(*name)))
    }

    /// A key that is equal for the same entity in every alert: derived from the best complete set of strong identifiers, or else from all
    /// identifiers. Case-insensitive, like names, addresses and hashes.
    pub fn key(&self) -> Uuid {
        let mut text = String::from(self.kind.info().v3);
        let mut push = |name: &str, value: &str| {
            text.push('\u{1f}');
            text.push_str(name);
            text.push('=');
            text.push_str(&value.trim().to_lowercase());
        };
        match self.strong_set() {
            Some(set) => set.iter().for_each(|name| push(name, &self.identifiers[*name])),
            None => self.identifiers.iter().for_each(|(name, value)| push(name, value)),
        }
        Uuid::new_v5(&KEYS, text.as_bytes())
    }

    /// Display name. An account with a suffix is shown as `ann@example.com`.
    pub fn friendly_name(&self) -> &str {
        let preferred = self.kind.info().friendly.iter().find_map(|name| self.get(name));
        preferred.or_else(|| self.identifiers.values().next().map(String::as_str)).unwrap_or_default()
    }

    /// The object in `SecurityAlert.Entities`; `number` is its `$id`, unique within the alert.
    pub fn to_v3(&self, number: usize) -> Value {
        let mut object = Map::new();
        object.insert("$id".to_owned(), json!(number.to_string()));
        for (name, value) in &self.identifiers {
            object.insert(name.clone(), json!(value));
        }
        object.insert("Type".to_owned(), json!(self.kind.info().v3));
        Value::Object(object)
    }

    /// The `properties` of the entity in the REST API.
    pub fn to_rest(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for identifier in self.kind.info().identifiers {
            if let Some(value) = self.identifiers.get(identifier.name) {
                object.insert(identifier.property.to_owned(), json!(value));
            }
        }
        object.insert("friendlyName".to_owned(), json!(self.friendly_name()));
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(kind: EntityKind, identifiers: &[(&str, &str)]) -> Entity {
        Entity::new(kind, identifiers.iter().copied()).unwrap()
    }

    #[test]
    fn the_table_is_in_the_order_of_the_kinds_and_uses_only_its_identifiers() {
        for (index, info) in KINDS.iter().enumerate() {
            assert_eq!(info.kind as usize, index, "{}", info.mapping);
            assert_eq!(EntityKind::parse(info.mapping), Some(info.kind));
            assert_eq!(EntityKind::parse(info.rest), Some(info.kind));
            for name in info.strong.iter().copied().flatten().chain(info.friendly) {
                assert!(info.kind.identifier(name).is_some_and(|identifier| identifier.name == *name), "{} {name}", info.mapping);
            }
        }
    }

    #[test]
    fn the_key_follows_strong_identifiers_and_ignores_case_and_weak_ones() {
        let ann = entity(EntityKind::Account, &[("Name", "Ann"), ("UPNSuffix", "example.com"), ("DisplayName", "Ann A.")]);
        let same = entity(EntityKind::Account, &[("name", "ann"), ("upnsuffix", "EXAMPLE.com")]);
        assert_eq!(ann.key(), same.key());
        let other = entity(EntityKind::Account, &[("Name", "ann"), ("UPNSuffix", "example.org")]);
        assert_ne!(ann.key(), other.key());
        let host = entity(EntityKind::Host, &[("HostName", "ann")]);
        assert_ne!(host.key(), entity(EntityKind::Account, &[("Name", "ann")]).key());
        assert!(!entity(EntityKind::Account, &[("DisplayName", "Ann")]).is_strong());
    }

    #[test]
    fn empty_and_unknown_identifiers_make_no_entity() {
        assert_eq!(Entity::new(EntityKind::Ip, [("Address", "  ")]), None);
        assert_eq!(Entity::new(EntityKind::Ip, [("Nonsense", "1")]), None);
    }

    #[test]
    fn an_entity_reads_back_as_written() {
        let address = entity(EntityKind::Ip, &[("Address", "203.0.113.9")]);
        let text = serde_json::to_string(&address).unwrap();
        assert_eq!(text, r#"{"kind":"IP","identifiers":{"Address":"203.0.113.9"}}"#);
        assert_eq!(serde_json::from_str::<Entity>(&text).unwrap(), address);
        assert_eq!(address.to_v3(1), json!({"$id": "1", "Address": "203.0.113.9", "Type": "ip"}));
    }
}
