//! Lists of incidents: filter, order, paging. Expected results are computed in memory from the same incidents.

use model::{Classification, IncidentStatus, Label, Severity, Span, Timestamp};
use store::{Comparison, Fold, IncidentField, IncidentFilter, IncidentList, IncidentOrder};
use uuid::Uuid;

use crate::support::{House, ann, start};

async fn filled() -> House {
    let house = House::new().await;
    for n in 0..23u128 {
        house.clock.advance(Span::MINUTE);
        let draft = incidents::Draft {
            title: Some(format!("Title {}'%_{}", n % 5, if n % 2 == 0 { "é" } else { "E" })),
            severity: Some(Severity::ALL[n as usize % 4]),
            status: Some(IncidentStatus::ALL[n as usize % 3]),
            classification: (n % 3 == 2).then_some(Classification::Undetermined),
            labels: if n % 7 == 0 { vec![Label { label_name: format!("label {n}"), label_type: "User".to_owned() }] } else { Vec::new() },
            owner: (n % 4 == 0).then(|| model::Owner { email: Some(format!("p{n}@example.com")), ..Default::default() }),
            ..Default::default()
        };
        house.incidents.put(Uuid::from_u128(n), &draft, None, &ann()).await.unwrap();
    }
    house
}

#[tokio::test]
async fn filters_find_what_they_say() {
    use IncidentFilter::*;
    let house = filled().await;
    let all = house.all().await;
    let noon: Timestamp = start() + Span(10 * Span::MINUTE.ticks());
    type Says = Box<dyn Fn(&model::Incident) -> bool>;
    let table: Vec<(IncidentFilter, Says)> = vec![
        (Text(IncidentField::Status, Comparison::Equal, "new".to_owned()), Box::new(|i| i.status == IncidentStatus::New)),
        (Text(IncidentField::Status, Comparison::NotEqual, "Closed".to_owned()), Box::new(|i| i.status != IncidentStatus::Closed)),
        (Text(IncidentField::Title, Comparison::Equal, "title 0'%_é".to_owned()), Box::new(|_| false)),
        (
            IncidentFilter::Severity(Comparison::GreaterOrEqual, model::Severity::Medium),
            Box::new(|i| i.severity >= model::Severity::Medium),
        ),
        (Time(IncidentField::Created, Comparison::Less, noon), Box::new(move |i| i.created < noon)),
        (Time(IncidentField::Closed, Comparison::NotEqual, noon), Box::new(move |i| i.closed != Some(noon))),
        (Time(IncidentField::Closed, Comparison::GreaterOrEqual, noon), Box::new(move |i| i.closed >= Some(noon))),
        (Number(IncidentField::Number, Comparison::LessOrEqual, 7), Box::new(|i| i.number <= 7)),
        (Contains(IncidentField::Title, "'%_".to_owned()), Box::new(|_| true)),
        (Contains(IncidentField::Title, "e".to_owned()), Box::new(|i| i.title.contains('e'))),
        (StartsWith(IncidentField::Title, "Title 3".to_owned()), Box::new(|i| i.title.starts_with("Title 3"))),
        (EndsWith(IncidentField::Title, "é".to_owned()), Box::new(|i| i.title.ends_with('é'))),
        (IsNull(IncidentField::OwnerEmail), Box::new(|i| i.owner.email.is_none())),
        (
            Folded(Fold::Upper, Box::new(StartsWith(IncidentField::Title, "TITLE 3".to_owned()))),
            Box::new(|i| i.title.starts_with("Title 3")),
        ),
        (Folded(Fold::Lower, Box::new(Contains(IncidentField::Title, "Title".to_owned()))), Box::new(|_| false)),
        (IndexOf(IncidentField::Title, "3".to_owned(), Comparison::Equal, 6), Box::new(|i| i.title.find('3') == Some(6))),
        (Length(IncidentField::Title, Comparison::Greater, 500), Box::new(|_| false)),
        (
            Any(IncidentList::Labels, Some(Box::new(EndsWith(IncidentField::ElementLabelName, " 7".to_owned())))),
            Box::new(|i| i.labels.iter().any(|label| label.label_name.ends_with(" 7"))),
        ),
        (Any(IncidentList::Labels, None), Box::new(|i| !i.labels.is_empty())),
        (All(IncidentList::Tactics, Box::new(Text(IncidentField::Element, Comparison::Equal, "Impact".to_owned()))), Box::new(|_| true)),
        (
            And(vec![
                Not(Box::new(IsNull(IncidentField::OwnerEmail))),
                Or(vec![Number(IncidentField::Number, Comparison::Less, 4), Number(IncidentField::Number, Comparison::Greater, 20)]),
            ]),
            Box::new(|i| i.owner.email.is_some() && (i.number < 4 || i.number > 20)),
        ),
    ];
    let order = [IncidentOrder { field: IncidentField::Number, descending: false }];
    for (filter, says) in table {
        let found = house.store.incidents().list(Some(&filter), &order, 100, None).await.unwrap().unwrap();
        let expected: Vec<i64> = all.iter().filter(|incident| says(incident)).map(|incident| incident.number).collect();
        assert_eq!(found.incidents.iter().map(|incident| incident.number).collect::<Vec<_>>(), expected, "{filter:?}");
        assert_eq!(found.next, None);
    }
}

#[tokio::test]
async fn pages_neither_repeat_nor_skip_even_where_values_tie_or_are_missing() {
    let house = filled().await;
    let fields = [IncidentField::Severity, IncidentField::Title, IncidentField::OwnerEmail, IncidentField::Closed, IncidentField::Created];
    for field in fields {
        for descending in [false, true] {
            let order = [IncidentOrder { field, descending }];
            let whole = house.store.incidents().list(None, &order, 100, None).await.unwrap().unwrap().incidents;
            assert_eq!(whole.len(), 23);
            if field == IncidentField::Severity {
                assert!(whole.is_sorted_by(|a, b| if descending { a.severity >= b.severity } else { a.severity <= b.severity }));
            }
            let (mut paged, mut place) = (Vec::new(), None);
            loop {
                let page = house.store.incidents().list(None, &order, 4, place.as_deref()).await.unwrap().unwrap();
                paged.extend(page.incidents);
                place = page.next;
                if place.is_none() {
                    break;
                }
            }
            assert_eq!(paged, whole, "{field:?} {descending}");
        }
    }
    let wrong = house.store.incidents().list(None, &[], 4, Some(&[serde_json::json!("x"), serde_json::json!(1)])).await.unwrap();
    assert_eq!(wrong, None, "a place of another order is not one of this");
}

#[tokio::test]
async fn state_survives_and_is_readable_by_owner_only() {
    let house = filled().await;
    let (before, id) = (house.all().await, house.store.id());
    let house = house.restart().await;
    assert_eq!(house.all().await, before);
    assert_eq!(house.store.id(), id);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        for entry in std::fs::read_dir(house.folder()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
        }
    }
}
