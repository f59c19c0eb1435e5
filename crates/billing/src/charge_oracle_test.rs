//! Random lists, Pods and windows, against sums of fractions made another way.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;

use super::*;
use crate::testing::{NOVEMBER, Random, SECOND, list, money, pod_use};
use crate::{Money, Per, Prices};

const LISTS: u64 = 500;
const PODS: u64 = 200;

#[test]
fn a_hundred_thousand_random_pods_cost_what_an_oracle_of_fractions_says() {
    let mut random = Random(2026);
    for _ in 0..LISTS {
        let list = random_list(&mut random);
        let pricing = Pricing::new(&list, random_window(&mut random));
        let pods: Vec<PodUse> = (0..PODS).map(|_| random_pod(&mut random)).collect();
        let charges: Vec<_> = pods
            .iter()
            .map(|pod| pricing.charge(pod).unwrap())
            .collect();
        let mut totals = Charges::default();
        for charges in charges.iter().rev() {
            totals.add(charges).unwrap();
        }
        let prices = Prices::settle(&pricing, &totals);

        let expected = oracle(&list, &pods, pricing.window());
        for (charges, expected) in charges.iter().zip(&expected) {
            assert_eq!(prices.total(charges), *expected, "{list:#?}");
        }
        assert_eq!(prices.total(&totals), expected.iter().sum());
    }
}

#[test]
fn cutting_a_window_anywhere_changes_nothing() {
    let mut random = Random(7);
    for _ in 0..LISTS {
        let list = random_list(&mut random);
        let pricing = Pricing::new(&list, random_window(&mut random));
        for _ in 0..20 {
            let pod = random_pod(&mut random);
            let whole = pricing.charge(&pod).unwrap();
            let window = pricing.window();
            let length = window.to_ns.abs_diff(window.from_ns) + 1;
            let mut cuts: Vec<i64> = (0..random.below(5))
                .map(|_| window.from_ns.wrapping_add_unsigned(random.below(length)))
                .collect();
            // Where a Pod begins and ends is where a mistake would show.
            cuts.extend(
                pod.spans
                    .iter()
                    .flat_map(|s| [s.start_ns, s.end_ns, s.end_ns + 1]),
            );
            cuts.retain(|cut| window.contains(*cut));
            cuts.extend([window.from_ns, window.to_ns]);
            cuts.sort_unstable();
            let mut sum = Charges::default();
            for pair in cuts.windows(2) {
                let part = Window::new(pair[0], pair[1]).unwrap();
                // As a part of the window's pricing, and as a window of its own.
                let charges = pricing.charge_within(&pod, part).unwrap();
                assert_eq!(charges, Pricing::new(&list, part).charge(&pod).unwrap());
                sum.add(&charges).unwrap();
            }
            assert_eq!(sum, whole);
        }
    }
}

/// What each Pod of a bill costs: each stretch between any two moments at which anything may
/// change, asked by the calendar whether a discount holds, and priced as a fraction.
fn oracle(list: &PriceList, pods: &[PodUse], window: Window) -> Vec<Money> {
    // By Pod: period, rate, units, and what is left after discounts.
    let mut parts: Vec<Vec<(usize, usize, BigRational, BigRational)>> = Vec::new();
    for pod in pods {
        let mut of_pod = Vec::new();
        let mut put = |meter, at: i64, quantity: BigRational| {
            let period = list
                .periods
                .iter()
                .position(|p| p.start_ns <= at && at < p.end_ns);
            let period = period.unwrap();
            let rates = &list.periods[period].rates;
            let is_for = |rate: &Rate| rate.meter == meter && rate.selector.holds(&pod.pod);
            if let Some(rate) = rates.iter().position(is_for) {
                let units = quantity / BigInt::from(rates[rate].unit_size());
                of_pod.push((period, rate, units, rest_at(list, pod, meter, at)));
            }
        };
        let mut spans = pod.spans.clone();
        if pod.ended != Ended::Running {
            let lived: i64 = spans.iter().map(|s| s.end_ns - s.start_ns).sum();
            let step = list.clock.step.ns.max(1);
            let charged = ((lived + step - 1) / step * step).max(list.clock.minimum.ns);
            let last = *spans.last().unwrap();
            spans.push(Span {
                start_ns: last.end_ns,
                end_ns: last.end_ns + charged - lived,
                used: Used::default(),
                ..last
            });
        }
        for span in &spans {
            let changes = changes(list, span, window);
            for (meter, total) in Meter::ALL.into_iter().zip(amounts(list, pod, span)) {
                // At a moment of the span: how much there was so far, a whole number.
                if total.is_zero() {
                    continue;
                }
                let so_far = |ns: i64| {
                    let length = BigRational::from_integer((span.end_ns - span.start_ns).into());
                    let gone = BigRational::from_integer((ns - span.start_ns).into());
                    (&total * gone / length).floor()
                };
                for pair in changes.windows(2) {
                    put(meter, pair[0], so_far(pair[1]) - so_far(pair[0]));
                }
            }
        }
        let start = pod.spans[0].start_ns;
        if window.contains(start) {
            let whole = |count: u64| BigRational::from_integer(count.into());
            put(Meter::Pod, start, whole(1));
            put(Meter::ContainerStart, start, whole(pod.container_starts));
            put(Meter::Image, start, whole(pod.image_bytes));
        }
        parts.push(of_pod);
    }
    let price = |period: usize, index: usize| {
        let rate = &list.periods[period].rates[index];
        let of_rate = parts
            .iter()
            .flatten()
            .filter(|(p, r, _, _)| (*p, *r) == (period, index));
        let sold: BigRational = of_rate.map(|(_, _, units, _)| units).sum();
        let per = BigInt::from(if rate.per == Some(Per::Second) {
            3600
        } else {
            1
        });
        let Some(price) = rate.price else {
            // Two tiers; see `random_list`.
            let [low, high] = [&rate.tiers[0], &rate.tiers[1]];
            let bound = fraction(low.up_to.unwrap()) / &per;
            if sold.is_zero() {
                return fraction(low.price) * per;
            }
            let below = sold.clone().min(bound);
            let cost = &below * fraction(low.price) + (&sold - &below) * fraction(high.price);
            return cost * per / sold;
        };
        fraction(price) * per
    };
    let prices: Vec<Vec<_>> = (0..list.periods.len())
        .map(|p| {
            (0..list.periods[p].rates.len())
                .map(|r| price(p, r))
                .collect()
        })
        .collect();
    let cost = |of_pod: &Vec<(usize, usize, BigRational, BigRational)>| {
        of_pod
            .iter()
            .map(|(p, r, units, rest)| units * &prices[*p][*r] * rest)
            .sum()
    };
    parts.iter().map(cost).collect()
}

fn fraction(number: crate::Decimal) -> BigRational {
    money(&number.to_string())
}

/// What a span comes to by meter, before it is divided.
fn amounts(list: &PriceList, pod: &PodUse, span: &Span) -> [BigRational; 6] {
    let length = BigInt::from(span.end_ns - span.start_ns);
    let used = [
        BigInt::from(span.used.cpu_ns) * 1000,
        span.used.memory_byte_ns.into(),
        0.into(),
        0.into(),
    ];
    let times = |size: Size| {
        [
            size.milli_vcpus,
            size.memory_bytes,
            size.storage_bytes,
            size.gpus,
        ]
        .map(|amount| BigInt::from(amount) * &length)
    };
    let mut amounts = match list.size.basis {
        Basis::Provisioned => times(list.size.charged(span.provisioned).unwrap()),
        Basis::Requested => times(list.size.charged(span.requested).unwrap()),
        Basis::Used => used,
        Basis::Max => {
            let mut amounts = times(span.requested);
            amounts
                .iter_mut()
                .zip(used)
                .for_each(|(a, u)| *a = u.max(a.clone()));
            amounts
        }
    };
    let period = list
        .periods
        .iter()
        .find(|p| p.end_ns > span.start_ns)
        .unwrap();
    for (meter, amount) in Meter::ALL.into_iter().zip(&mut amounts) {
        let is_for = |rate: &&Rate| rate.meter == meter && rate.selector.holds(&pod.pod);
        let included = period
            .rates
            .iter()
            .find(is_for)
            .map_or(0, Rate::included_units);
        *amount = (&*amount - BigInt::from(included) * &length).max(0.into());
    }
    let [vcpu, memory, storage, gpu] = amounts;
    let network = [
        span.used.network_received_bytes,
        span.used.network_sent_bytes,
    ];
    let [received, sent] = network.map(BigInt::from);
    [vcpu, memory, storage, gpu, received, sent].map(BigRational::from_integer)
}

/// Every moment of a span in the window at which a price or a discount may change.
fn changes(list: &PriceList, span: &Span, window: Window) -> Vec<i64> {
    let from = span.start_ns.max(window.from_ns);
    let until = span.end_ns.min(window.to_ns);
    if from >= until {
        return Vec::new();
    }
    let mut moments = vec![from, until];
    moments.extend(list.periods.iter().map(|p| p.start_ns));
    if !list.discounts.is_empty() {
        let date = |ns: i64| {
            let moment = Timestamp::from_nanosecond(ns.into()).unwrap();
            list.zone.0.to_datetime(moment).date()
        };
        let mut day = date(from);
        while day <= date(until) {
            for hours in list.discounts.iter().filter_map(|d| d.hours) {
                moments.extend(
                    [hours.from, hours.until].map(|t| list.zone.moment(day.to_datetime(t))),
                );
            }
            moments.push(
                list.zone
                    .moment(day.to_datetime(jiff::civil::Time::midnight())),
            );
            day = day.tomorrow().unwrap();
        }
        let dates = list
            .discounts
            .iter()
            .flat_map(|d| [d.from, d.until])
            .flatten();
        moments.extend(dates.map(|date| list.zone.moment(date.0)));
    }
    moments.retain(|ns| (from..=until).contains(ns));
    moments.sort_unstable();
    moments.dedup();
    moments
}

/// What is left of a price at a moment, by the calendar.
fn rest_at(list: &PriceList, pod: &PodUse, meter: Meter, ns: i64) -> BigRational {
    let moment = Timestamp::from_nanosecond(ns.into()).unwrap();
    let local = list.zone.0.to_datetime(moment);
    let holds = |d: &&Discount| {
        let (mut day, time) = (local.date(), local.time());
        let in_hours = d.hours.is_none_or(|h| {
            if h.from < h.until {
                (h.from..h.until).contains(&time)
            } else if time < h.until {
                day = day.yesterday().unwrap();
                true
            } else {
                time >= h.from
            }
        });
        in_hours
            && d.is_for(meter)
            && d.selector.holds(&pod.pod)
            && d.from.is_none_or(|from| from.0 <= local)
            && d.until.is_none_or(|until| local < until.0)
            && (d.days.is_empty()
                || d.days
                    .iter()
                    .any(|d| jiff::civil::Weekday::from(*d) == day.weekday()))
    };
    match list.discounts.iter().find(holds) {
        Some(d) => money("1") - fraction(d.percent.into()) / BigInt::from(100),
        None => money("1"),
    }
}

/// A window around the end of October 2026, when clocks change.
fn random_window(random: &mut Random) -> Window {
    let start = NOVEMBER - 10 * 86_400 * SECOND + random_length(random, 20 * 86_400 * SECOND);
    Window::new(start, start + random_length(random, 10 * 86_400 * SECOND)).unwrap()
}

/// Up to a length; short ones are as likely as long ones.
fn random_length(random: &mut Random, most: i64) -> i64 {
    let most = most.unsigned_abs() >> random.below(30);
    random.below(most + 1).cast_signed()
}

fn random_pod(random: &mut Random) -> PodUse {
    let mut at = NOVEMBER - 10 * 86_400 * SECOND + random_length(random, 20 * 86_400 * SECOND);
    let spans = (0..=random.below(3)).map(|_| {
        let start_ns = at + random_length(random, SECOND) * random.below(2).cast_signed();
        at = start_ns + random_length(random, 3 * 86_400 * SECOND);
        let mut size = || Size {
            milli_vcpus: random.below(16_000) * random.below(2),
            memory_bytes: random.below(64 << 30) * random.below(2),
            storage_bytes: random.below(40 << 30),
            gpus: random.below(3),
        };
        Span {
            start_ns,
            end_ns: at,
            provisioned: size(),
            requested: size(),
            limits: Size::default(),
            used: Used {
                cpu_ns: random.below(1 << 50),
                memory_byte_ns: u128::from(random.next()) << random.below(20),
                network_received_bytes: random.below(1 << 40),
                network_sent_bytes: random.below(1 << 40),
                ..Used::default()
            },
        }
    });
    let mut run = pod_use("a", spans.collect());
    run.ended = random.of(&[Ended::Running, Ended::Seen, Ended::Bounded]);
    run.container_starts = random.below(4);
    run.image_bytes = random.below(1 << 35);
    run.pod.architecture = random.of(&["amd64", "arm64"]).to_string();
    let labels = [("team", "a"), ("team", "b"), ("tier", "a")];
    let (key, value) = random.of(&labels);
    run.pod.labels.insert(key.to_string(), value.to_string());
    run
}

fn random_price(random: &mut Random) -> String {
    let digits = random.below(13);
    let whole = random.below(10) * random.below(2);
    match digits {
        0 => format!("\"{whole}\""),
        _ => format!(
            "\"{whole}.{:0>1$}\"",
            random.below(10u64.pow(digits.try_into().unwrap())),
            digits as usize
        ),
    }
}

fn random_list(random: &mut Random) -> PriceList {
    let mut text =
        String::from("name = \"random\"\ntitle = \"\"\nversion = \"1\"\ncurrency = \"USD\"\n");
    let zones = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"];
    text += &format!("time-zone = {:?}\n", random.of(&zones));
    text += random.of(&[
        "",
        "[clock]\nstep = \"1s\"\nminimum = \"60s\"\n",
        "[clock]\nstep = \"100ms\"\n",
        "[clock]\nminimum = \"1h\"\n",
    ]);
    text += random.of(&[
        "",
        "[size]\nbasis = \"used\"\n",
        "[size]\nbasis = \"max\"\n",
        "[size]\nbasis = \"requested\"\ndefault = { vcpus = \"0.5\" }\noverhead = { memory = \"256Mi\" }\n",
        "[size]\nbasis = \"requested\"\nstep = { vcpus = \"0.25\" }\nmemory-per-vcpu = { least = \"1Gi\", most = \"6.5Gi\" }\n",
        "[size]\nbeyond = \"exact\"\nconfigurations = [{ vcpus = 1, memory = { from = \"1Gi\", to = \"8Gi\", step = \"1Gi\" } },\n\
         { vcpus = 4, memory = [\"2Gi\", \"16Gi\", \"24Gi\"] }]\n",
    ]);
    let used = text.contains("\"used\"");
    for from in ["2026-10-01", "2026-10-25T02:00:00", "2026-11-03"] {
        text += &format!("[[period]]\nfrom = {from}\n");
        for meter in Meter::ALL {
            let always = matches!(meter, Meter::Vcpu | Meter::Storage);
            let unknown = used && matches!(meter, Meter::Storage | Meter::Gpu);
            if unknown || (!always && random.below(4) == 0) {
                continue;
            }
            let name = meter.name();
            // What is included is the same in all periods: the oracle asks for it once.
            let included = match meter {
                Meter::Storage => "included = \"20Gi\"\n",
                Meter::Vcpu => "included = \"0.1\"\n",
                _ => "",
            };
            let per = if meter.is_timed() {
                random.of(&["", "per = \"second\"\n"])
            } else {
                ""
            };
            let arm = "match = { architecture = \"arm64\" }\n";
            text += &format!(
                "[[period.rate]]\nsku = \"{name}-arm\"\nmeter = \"{name}\"\n{included}{per}{arm}"
            );
            text += &format!("price = {}\n", random_price(random));
            text +=
                &format!("[[period.rate]]\nsku = \"{name}\"\nmeter = \"{name}\"\n{included}{per}");
            text += &match random.below(3) {
                0 => format!(
                    "tiers = [{{ up-to = {}, price = {} }}, {{ price = {} }}]\n",
                    random.below(10_000),
                    random_price(random),
                    random_price(random)
                ),
                _ => format!("price = {}\n", random_price(random)),
            };
        }
    }
    for index in 0..random.below(4) {
        text += &format!(
            "[[discount]]\nname = \"{index}\"\npercent = \"{}.5\"\n",
            random.below(100)
        );
        text += random.of(&[
            "",
            "match = { labels = { team = \"a\" } }\n",
            "match = { architecture = \"arm64\" }\n",
        ]);
        text += random.of(&["", "meters = [\"vcpu\", \"pod\"]\n"]);
        text += random.of(&[
            "",
            "days = [\"sat\", \"sun\"]\n",
            "days = [\"fri\", \"mon\"]\n",
        ]);
        // Not between 1 and 3: there the calendar is of two minds when clocks change.
        text += random.of(&[
            "",
            "hours = \"22:30-06:15\"\n",
            "hours = \"09:00-17:59\"\n",
            "hours = \"00:00-00:07\"\n",
        ]);
        text += random.of(&["", "from = 2026-10-24T05:00:00\n", "until = 2026-11-02\n"]);
    }
    list(&text)
}
