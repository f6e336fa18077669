use bendy::decoding::{Decoder, Object};
use proptest::prelude::*;

use super::*;

/// A value, read whole.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Int(Vec<u8>),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Dict(Vec<(Vec<u8>, Tree)>),
}

fn tree(value: Value<'_, '_>) -> Result<Tree, Malformed> {
    Ok(match value {
        Value::Int(digits) => Tree::Int(digits.to_vec()),
        Value::Bytes(bytes) => Tree::Bytes(bytes.to_vec()),
        Value::List(mut list) => {
            let mut items = Vec::new();
            while let Some(item) = list.next_object()? {
                items.push(tree(item)?);
            }
            Tree::List(items)
        }
        Value::Dict(mut dict) => {
            let mut pairs = Vec::new();
            while let Some((key, value)) = dict.next_pair()? {
                pairs.push((key.to_vec(), tree(value)?));
            }
            Tree::Dict(pairs)
        }
    })
}

fn read(bytes: &[u8]) -> Result<Tree, Malformed> {
    let mut reader = Reader::new(bytes);
    let tree = tree(reader.value()?)?;
    reader.end()?;
    Ok(tree)
}

/// Reads nothing of what is inside, and still has to refuse all of it.
fn skim(bytes: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    reader.value()?;
    reader.end()
}

/// Looks at every other value only.
fn skip_through(bytes: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    if let Value::Dict(mut dict) = reader.value()? {
        let mut n = 0;
        while let Some((_, value)) = dict.next_pair()? {
            n += 1;
            if n % 2 == 0
                && let Value::List(mut list) = value
            {
                list.next_object()?;
            }
        }
        assert!(
            dict.next_pair()?.is_none(),
            "an ended dictionary stays ended"
        );
    }
    reader.end()
}

fn oracle_tree(object: Object<'_, '_>) -> Option<Tree> {
    Some(match object {
        Object::Integer(digits) => Tree::Int(digits.into()),
        Object::Bytes(bytes) => Tree::Bytes(bytes.to_vec()),
        Object::List(mut list) => {
            let mut items = Vec::new();
            while let Some(item) = list.next_object().ok()? {
                items.push(oracle_tree(item)?);
            }
            Tree::List(items)
        }
        Object::Dict(mut dict) => {
            let mut pairs = Vec::new();
            while let Some((key, value)) = dict.next_pair().ok()? {
                pairs.push((key.to_vec(), oracle_tree(value)?));
            }
            Tree::Dict(pairs)
        }
    })
}

fn oracle(bytes: &[u8]) -> Option<Tree> {
    let mut decoder = Decoder::new(bytes).with_max_depth(MAX_DEPTH);
    let tree = oracle_tree(decoder.next_object().ok()??)?;
    matches!(decoder.next_object(), Ok(None)).then_some(tree)
}

fn write(tree: &Tree, writer: &mut Writer) {
    match tree {
        Tree::Int(digits) => writer.int(number(digits).unwrap_or(0)),
        Tree::Bytes(bytes) => writer.form(|out| out.extend(bytes)),
        Tree::List(items) => writer.list(|w| items.iter().for_each(|item| write(item, w))),
        Tree::Dict(pairs) => writer.dict(|d| {
            for (key, value) in pairs {
                write(value, d.key(key));
            }
        }),
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..30);
    let leaf = prop_oneof![
        any::<u64>().prop_map(|n| Tree::Int(n.to_string().into_bytes())),
        bytes().prop_map(Tree::Bytes),
    ];
    leaf.prop_recursive(9, 60, 6, move |inner| {
        let map = prop::collection::btree_map(bytes(), inner.clone(), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Tree::List),
            map.prop_map(|map| Tree::Dict(map.into_iter().collect())),
        ]
    })
}

fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let expected = oracle(bytes);
    prop_assert_eq!(read(bytes).ok(), expected.clone());
    prop_assert_eq!(skim(bytes).is_ok(), expected.is_some());
    prop_assert_eq!(skip_through(bytes).is_ok(), expected.is_some());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_the_same_by_both(tree in trees()) {
        let mut writer = Writer::new();
        write(&tree, &mut writer);
        let bytes = writer.into_bytes();
        agree(&bytes)?;
        if let Some(read) = oracle(&bytes) {
            prop_assert_eq!(read, tree);
        }
    }

    #[test]
    fn noise_is_refused_by_both_or_read_the_same(
        bytes in prop::collection::vec(prop::sample::select(&b"dlei0129:-a"[..]), 0..24),
    ) {
        agree(&bytes)?;
    }

    #[test]
    fn a_changed_datagram_is_refused_by_both_or_read_the_same(
        tree in trees(), at: prop::sample::Index, by in prop::sample::select(&b"dlei0129:-a"[..]), how in 0..4,
    ) {
        let mut writer = Writer::new();
        write(&tree, &mut writer);
        let mut bytes = writer.into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = by,
            1 => bytes.insert(at, by),
            2 => bytes.truncate(at),
            _ => { bytes.remove(at); }
        }
        agree(&bytes)?;
    }
}

#[test]
fn what_is_not_canonical_is_refused() {
    let deepest = ["l".repeat(8), "e".repeat(8)].concat();
    let too_deep = ["l".repeat(9), "e".repeat(9)].concat();
    for good in ["de", "le", "i0e", "i-1e", "0:", "d0:0:1:a0:e", &deepest] {
        assert!(read(good.as_bytes()).is_ok(), "{good}");
    }
    let bad = [
        "",
        "e",
        "d",
        "l",
        "i",
        "ie",
        "i-e",
        "i-0e",
        "i00e",
        "i01e",
        "i1",
        "i+1e",
        "i1 e",
        "1:",
        "01:a",
        "-1:a",
        "2:a",
        "99999999999999999999:a",
        "dei0e",
        "de ",
        "di0e0:e",
        "d1:ae",
        "d1:a0:1:a0:e",
        "d1:b0:1:a0:e",
        "dle0:e",
        "x",
        &too_deep,
    ];
    for bad in bad {
        assert_eq!(read(bad.as_bytes()), Err(Malformed), "{bad}");
        assert_eq!(skim(bad.as_bytes()), Err(Malformed), "{bad}");
        assert_eq!(oracle(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn after_an_error_nothing_more_is_read() {
    let mut reader = Reader::new(b"d1:ald0:ie0:e1:b0:ee");
    let Ok(Value::Dict(mut dict)) = reader.value() else {
        unreachable!("it begins well");
    };
    let Ok(Some((b"a", Value::List(mut list)))) = dict.next_pair() else {
        unreachable!("and goes on well");
    };
    assert!(list.next_object().is_ok());
    assert!(list.next_object().is_err());
    assert!(list.next_object().is_err());
    assert!(dict.next_pair().is_err());
    assert!(reader.end().is_err());
}

#[test]
fn numbers_beyond_64_bits_are_none() {
    assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
    for digits in ["18446744073709551616", "99999999999999999999999", "-1"] {
        assert_eq!(number(digits.as_bytes()), None, "{digits}");
    }
}
