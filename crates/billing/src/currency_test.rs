use super::*;

#[test]
fn a_currency_knows_its_smallest_coin() {
    for (code, digits) in [("USD", 2), ("JPY", 0), ("KWD", 3)] {
        let currency = Currency::try_from(code.to_owned()).unwrap();
        assert_eq!(currency.digits(), digits, "{code}");
    }
}

#[test]
fn what_is_no_currency_is_refused() {
    for code in ["", "usd", "EURO", "XXX", "USD EUR"] {
        assert!(Currency::try_from(code.to_owned()).is_err(), "{code}");
    }
}
