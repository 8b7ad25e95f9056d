//! The simulators against third-party clients.

use simulators::phone::Phone;

/// `BARTIZAN_PHONE`: the account's id and token, `AC…:token`. Serves until standard input ends; prints the address, and then what was sent.
/// Each line of input is a reply by SMS to the last message, sent to the URL in `BARTIZAN_PHONE_REPLY`.
#[tokio::test]
async fn a_phone_for_outside_clients() {
    let Ok(account) = std::env::var("BARTIZAN_PHONE") else {
        println!("run by tests/oncall/phone.py");
        return;
    };
    let (sid, token) = account.split_once(':').unwrap();
    let phone = Phone::start(sid, token, reqwest::Client::new()).await.unwrap();
    println!("\nlistening {}", phone.base_url());
    loop {
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|_| line)
        });
        let line = line.await.unwrap().unwrap();
        if line.is_empty() {
            break;
        }
        let last = phone.messages().pop().unwrap();
        let url = std::env::var("BARTIZAN_PHONE_REPLY").unwrap();
        println!("said {:?}", phone.reply(&url, &last, line.trim()).await.unwrap());
    }
    for sent in phone.messages() {
        println!("sent {} {} {} {} {}", sent.sid, sent.is_call, sent.from, sent.to, sent.text);
    }
}
