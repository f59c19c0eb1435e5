//! Currencies of ISO 4217.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Active codes of ISO 4217, funds and metals left out.
const CODES: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL \
    BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD \
    FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS \
    KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK \
    MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD \
    SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX \
    USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";
const NO_MINOR_UNIT: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
const THOUSANDTHS: &str = "BHD IQD JOD KWD LYD OMR TND";

/// A text that is no currency.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a currency of ISO 4217, as USD or EUR")]
pub struct CurrencyError(String);

/// A currency, by its code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Currency(String);

impl Currency {
    /// Its code, three capital letters.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0
    }

    /// Digits after the point of what can be paid: 2 for cents.
    #[must_use]
    pub fn digits(&self) -> u32 {
        if NO_MINOR_UNIT.contains(self.code()) {
            0
        } else if THOUSANDTHS.contains(self.code()) {
            3
        } else {
            2
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = CurrencyError;

    fn try_from(code: String) -> Result<Self, CurrencyError> {
        if CODES.split_ascii_whitespace().any(|known| known == code) {
            Ok(Self(code))
        } else {
            Err(CurrencyError(code))
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[path = "currency_test.rs"]
mod tests;
