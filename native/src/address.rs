//! Converts between the addresses of objects and the names of their files: `catalog`, `database-ID`
//! and `shard-ID`.

use tidemark_engine::protocol::call::Address;
use tidemark_model::ids::ObjectId;

use crate::limits::OBJECT_ID_CHARACTERS_MAX;

/// Returns the name of an object's file. Returns `None` for a service of the runtime. Also returns
/// `None` for an invalid id, because the id becomes part of a path.
pub fn name(address: &Address) -> Option<String> {
    parts(address).map(|parts| parts.concat())
}

/// Returns the parts of [`name`].
pub fn parts(address: &Address) -> Option<[&str; 2]> {
    let (prefix, id) = match address {
        Address::Catalog => return Some(["catalog", ""]),
        Address::Database(id) => ("database-", id),
        Address::Shard(id) => ("shard-", id),
        _ => return None,
    };
    is_id(&id.0).then_some([prefix, &id.0])
}

pub fn parse(name: &str) -> Option<Address> {
    if name == "catalog" {
        return Some(Address::Catalog);
    }
    let (kind, id) = name.split_once('-')?;
    let id = is_id(id).then(|| ObjectId(id.to_owned()))?;
    match kind {
        "database" => Some(Address::Database(id)),
        "shard" => Some(Address::Shard(id)),
        _ => None,
    }
}

fn is_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=OBJECT_ID_CHARACTERS_MAX).contains(&id.len()) && id.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_addresses_round_trip_as_names() {
        let id = ObjectId("0a1b".to_owned());
        for address in [Address::Catalog, Address::Database(id.clone()), Address::Shard(id)] {
            let name = name(&address).unwrap();
            assert_eq!(parse(&name), Some(address), "{name}");
        }
    }

    #[test]
    fn unsafe_object_ids_are_rejected() {
        for id in ["", "..", "a/b", "A", "a.b", &"a".repeat(65)] {
            assert_eq!(name(&Address::Shard(ObjectId(id.to_owned()))), None, "{id}");
            assert_eq!(parse(&format!("shard-{id}")), None, "{id}");
        }
        assert_eq!(name(&Address::Sql), None);
    }
}
