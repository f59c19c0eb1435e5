//! Traffic control: which frames that come in by one interface go out by another.

use netlink_packet_core::{DefaultNla, Emitable, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionGeneric, TcActionMirror, TcActionMirrorOption,
    TcActionOption, TcActionType, TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption,
    TcHandle, TcMessage, TcMirror, TcMirrorActionType, TcOption,
};
use rustix::io::Errno;

use crate::filter;
use crate::netlink::{Error, Netlink};

const BPF_ACT: u16 = 1;
const BPF_OPS_LEN: u16 = 4;
const BPF_OPS: u16 = 5;

/// `ETH_P_ALL` in network byte order, as `tcm_info` wants it.
const ALL_PROTOCOLS: u32 = (0x0003_u16).to_be() as u32;

/// The parent of filters on what comes in, for both `ingress` and `clsact`.
const INCOMING: u32 = 0xffff_fff2;

/// What the filter of this priority decides comes before the next.
const FIRST: u32 = 1;
const SECOND: u32 = 2;

/// Sends every frame that comes in by interface `from` out by interface `to`: the host's own
/// network stack sees none of them.
pub(crate) fn redirect_all(netlink: &mut Netlink, from: u32, to: u32) -> Result<(), Error> {
    add_qdisc(netlink, from)?;
    add_filter(netlink, from, FIRST, redirect(filter::everything(), to))
}

/// Sends the frames that match `program` from interface `from` to interface `to`, and drops all
/// others.
pub(crate) fn redirect_matching(
    netlink: &mut Netlink,
    from: u32,
    to: u32,
    program: Vec<u8>,
) -> Result<(), Error> {
    add_qdisc(netlink, from)?;
    // The one that drops comes first, so that at no moment anything passes unseen.
    let mut drop = bpf(filter::nothing());
    drop.push(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction));
    add_filter(netlink, from, SECOND, drop)?;
    add_filter(netlink, from, FIRST, redirect(program, to))
}

/// Takes away what [`redirect_all`] added.
pub(crate) fn remove(netlink: &mut Netlink, interface: u32) -> Result<(), Error> {
    let mut message = message(interface, INCOMING, 1, FIRST << 16 | ALL_PROTOCOLS);
    message
        .attributes
        .push(TcAttribute::Kind(TcFilterBpf::KIND.into()));
    match netlink.change(RouteNetlinkMessage::DelTrafficFilter(message), 0) {
        Err(error) if error.is(Errno::NOENT) || error.is(Errno::INVAL) => Ok(()),
        other => other,
    }
}

fn add_qdisc(netlink: &mut Netlink, interface: u32) -> Result<(), Error> {
    let mut message = message(interface, TcHandle::INGRESS.into(), 0xffff_0000, 0);
    message.attributes.push(TcAttribute::Kind("ingress".into()));
    let message = RouteNetlinkMessage::NewQueueDiscipline(message);
    match netlink.change(message, NLM_F_CREATE | NLM_F_EXCL) {
        // An earlier attach's, or the CNI plugin's: as good.
        Err(error) if error.is(Errno::EXIST) => Ok(()),
        other => other,
    }
}

fn add_filter(
    netlink: &mut Netlink,
    interface: u32,
    priority: u32,
    options: Vec<TcFilterBpfOption>,
) -> Result<(), Error> {
    let mut message = message(interface, INCOMING, 1, priority << 16 | ALL_PROTOCOLS);
    message
        .attributes
        .push(TcAttribute::Kind(TcFilterBpf::KIND.into()));
    let options = options.into_iter().map(TcOption::Bpf).collect();
    message.attributes.push(TcAttribute::Options(options));
    let message = RouteNetlinkMessage::NewTrafficFilter(message);
    netlink.change(message, NLM_F_CREATE | NLM_F_REPLACE)
}

fn message(interface: u32, parent: u32, handle: u32, info: u32) -> TcMessage {
    let mut message = TcMessage::with_index(interface.cast_signed());
    message.header.parent = parent.into();
    message.header.handle = handle.into();
    message.header.info = info;
    message
}

fn bpf(program: Vec<u8>) -> Vec<TcFilterBpfOption> {
    let length = (program.len() / 8) as u16;
    vec![
        TcFilterBpfOption::Other(DefaultNla::new(BPF_OPS_LEN, length.to_ne_bytes().to_vec())),
        TcFilterBpfOption::Other(DefaultNla::new(BPF_OPS, program)),
    ]
}

fn redirect(program: Vec<u8>, to: u32) -> Vec<TcFilterBpfOption> {
    let mut generic = TcActionGeneric::default();
    generic.action = TcActionType::Stolen;
    let mut mirror = TcMirror::default();
    mirror.generic = generic;
    mirror.eaction = TcMirrorActionType::EgressRedir;
    mirror.ifindex = to;
    let mut action = TcAction::default();
    action.attributes = vec![
        TcActionAttribute::Kind(TcActionMirror::KIND.into()),
        TcActionAttribute::Options(vec![TcActionOption::Mirror(TcActionMirrorOption::Parms(
            mirror,
        ))]),
    ];
    let actions = [action];
    let mut bytes = vec![0; actions.as_slice().buffer_len()];
    actions.as_slice().emit(&mut bytes);
    let mut options = bpf(program);
    options.push(TcFilterBpfOption::Other(DefaultNla::new(BPF_ACT, bytes)));
    options
}
