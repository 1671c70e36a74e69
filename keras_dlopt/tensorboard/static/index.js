// Built from source 84aef1b55058817b1b31ee0348eb997ebffe225a7a0af31c85bfec7f5b5fda73; uPlot: MIT, (c) Leon Sorokin.
// node_modules/uplot/dist/uPlot.min.css?inline
var e = !0, t = "uplot", n = "u-hz", r = "u-vt", i = "u-title", a = "u-wrap", o = "u-under", s = "u-over", c = "u-axis", l = "u-off", u = "u-select", d = "u-cursor-x", f = "u-cursor-y", p = "u-cursor-pt", m = "u-legend", h = "u-live", g = "u-inline", _ = "u-series", v = "u-marker", y = "u-label", b = "u-value", x = "width", S = "height", C = "top", w = "bottom", T = "left", E = "right", D = "#000", ee = "#0000", te = "mousemove", ne = "mousedown", re = "mouseup", ie = "mouseenter", ae = "mouseleave", oe = "dblclick", se = "resize", O = "scroll", k = "change", ce = "dppxchange", le = "--", A = typeof window < "u", ue = A ? document : null, de = A ? window : null, j = A ? navigator : null, M, fe;
function pe() {
	let e = devicePixelRatio;
	M != e && (M = e, fe && Ee(k, fe, pe), fe = matchMedia(`(min-resolution: ${M - .001}dppx) and (max-resolution: ${M + .001}dppx)`), Te(k, fe, pe), de.dispatchEvent(new CustomEvent(ce)));
}
function me(e, t) {
	if (t != null) {
		let n = e.classList;
		!n.contains(t) && n.add(t);
	}
}
function he(e, t) {
	let n = e.classList;
	n.contains(t) && n.remove(t);
}
function N(e, t, n) {
	e.style[t] = n + "px";
}
function ge(e, t, n, r) {
	let i = ue.createElement(e);
	return t != null && me(i, t), n?.insertBefore(i, r), i;
}
function _e(e, t) {
	return ge("div", e, t);
}
var ve = /* @__PURE__ */ new WeakMap();
function ye(e, t, n, r, i) {
	let a = "translate(" + t + "px," + n + "px)";
	a != ve.get(e) && (e.style.transform = a, ve.set(e, a), t < 0 || n < 0 || t > r || n > i ? me(e, l) : he(e, l));
}
var be = /* @__PURE__ */ new WeakMap();
function xe(e, t, n) {
	let r = t + n;
	r != be.get(e) && (be.set(e, r), e.style.background = t, e.style.borderColor = n);
}
var P = /* @__PURE__ */ new WeakMap();
function Se(e, t, n, r) {
	let i = t + "" + n;
	i != P.get(e) && (P.set(e, i), e.style.height = n + "px", e.style.width = t + "px", e.style.marginLeft = r ? -t / 2 + "px" : 0, e.style.marginTop = r ? -n / 2 + "px" : 0);
}
var Ce = { passive: !0 }, we = {
	...Ce,
	capture: !0
};
function Te(e, t, n, r) {
	t.addEventListener(e, n, r ? we : Ce);
}
function Ee(e, t, n, r) {
	t.removeEventListener(e, n, Ce);
}
A && pe();
function De(e, t, n, r) {
	let i;
	n ||= 0, r ||= t.length - 1;
	let a = r <= 2147483647;
	for (; r - n > 1;) i = a ? n + r >> 1 : Ge((n + r) / 2), t[i] < e ? n = i : r = i;
	return e - t[n] <= t[r] - e ? n : r;
}
function Oe(e) {
	return (t, n, r) => {
		let i = -1, a = -1;
		for (let a = n; a <= r; a++) if (e(t[a])) {
			i = a;
			break;
		}
		for (let i = r; i >= n; i--) if (e(t[i])) {
			a = i;
			break;
		}
		return [i, a];
	};
}
var ke = (e) => e != null, Ae = (e) => e != null && e > 0, je = Oe(ke), F = Oe(Ae);
function Me(e, t, n, r = 0, i = !1) {
	let a = i ? F : je, o = i ? Ae : ke;
	[t, n] = a(e, t, n);
	let s = e[t], c = e[t];
	if (t > -1) {
		if (r == 1) s = e[t], c = e[n];
		else if (r == -1) s = e[n], c = e[t];
		else for (let r = t; r <= n; r++) {
			let t = e[r];
			o(t) && (t < s ? s = t : t > c && (c = t));
		}
	}
	return [s ?? B, c ?? -B];
}
function Ne(e, t, n, r) {
	let i = Ze(e), a = Ze(t);
	e == t && (i == -1 ? (e *= n, t /= n) : (e /= n, t *= n));
	let o = n == 10 ? Qe : z, s = i == 1 ? Ge : qe, c = a == 1 ? qe : Ge, l = s(o(We(e))), u = c(o(We(t))), d = Xe(n, l), f = Xe(n, u);
	return n == 10 && (l < 0 && (d = H(d, -l)), u < 0 && (f = H(f, -u))), r || n == 2 ? (e = d * i, t = f * a) : (e = mt(e, d), t = pt(t, f)), [e, t];
}
function Pe(e, t, n, r) {
	let i = Ne(e, t, n, r);
	return e == 0 && (i[0] = 0), t == 0 && (i[1] = 0), i;
}
var Fe = .1, Ie = {
	mode: 3,
	pad: Fe
}, Le = {
	pad: 0,
	soft: null,
	mode: 0
}, I = {
	min: Le,
	max: Le
};
function Re(e, t, n, r) {
	return Tt(n) ? Be(e, t, n) : (Le.pad = n, Le.soft = r ? 0 : null, Le.mode = r ? 3 : 0, Be(e, t, I));
}
function L(e, t) {
	return e ?? t;
}
function ze(e, t, n) {
	for (t = L(t, 0), n = L(n, e.length - 1); t <= n;) {
		if (e[t] != null) return !0;
		t++;
	}
	return !1;
}
function Be(e, t, n) {
	let r = n.min, i = n.max, a = L(r.pad, 0), o = L(i.pad, 0), s = L(r.hard, -B), c = L(i.hard, B), l = L(r.soft, B), u = L(i.soft, -B), d = L(r.mode, 0), f = L(i.mode, 0), p = t - e, m = Qe(p), h = Ye(We(e), We(t)), g = We(Qe(h) - m);
	(p < 1e-24 || g > 10) && (p = 0, (e == 0 || t == 0) && (p = 1e-24, d == 2 && l != B && (a = 0), f == 2 && u != -B && (o = 0)));
	let _ = p || h || 1e3, v = Xe(10, Ge(Qe(_))), y = H(mt(e - _ * (p == 0 ? e == 0 ? .1 : 1 : a), v / 10), 24), b = e >= l && (d == 1 || d == 3 && y <= l || d == 2 && y >= l) ? l : B, x = Ye(s, y < b && e >= b ? b : Je(b, y)), S = H(pt(t + _ * (p == 0 ? t == 0 ? .1 : 1 : o), v / 10), 24), C = t <= u && (f == 1 || f == 3 && S >= u || f == 2 && S <= u) ? u : -B, w = Je(c, S > C && t <= C ? C : Ye(C, S));
	return x == w && x == 0 && (w = 100), [x, w];
}
var R = new Intl.NumberFormat(A ? j.language : "en-US"), Ve = (e) => R.format(e), He = Math, Ue = He.PI, We = He.abs, Ge = He.floor, Ke = He.round, qe = He.ceil, Je = He.min, Ye = He.max, Xe = He.pow, Ze = He.sign, Qe = He.log10, z = He.log2, $e = (e, t = 1) => He.sinh(e) * t, et = (e, t = 1) => He.asinh(e / t), B = Infinity;
function tt(e) {
	return (Qe((e ^ e >> 31) - (e >> 31)) | 0) + 1;
}
function nt(e, t, n) {
	return Je(Ye(e, t), n);
}
function rt(e) {
	return typeof e == "function";
}
function V(e) {
	return rt(e) ? e : () => e;
}
var it = () => {}, at = (e) => e, ot = (e, t) => t, st = (e) => null, ct = (e) => !0, lt = (e, t) => e == t, ut = /\.\d*?(?=9{6,}|0{6,})/gm, dt = (e) => {
	if (St(e) || ht.has(e)) return e;
	let t = `${e}`, n = t.match(ut);
	if (n == null) return e;
	let r = n[0].length - 1;
	if (t.indexOf("e-") != -1) {
		let [e, n] = t.split("e");
		return +`${dt(e)}e${n}`;
	}
	return H(e, r);
};
function ft(e, t) {
	return dt(H(dt(e / t)) * t);
}
function pt(e, t) {
	return dt(qe(dt(e / t)) * t);
}
function mt(e, t) {
	return dt(Ge(dt(e / t)) * t);
}
function H(e, t = 0) {
	if (St(e)) return e;
	let n = 10 ** t;
	return Ke(e * n * (1 + 2 ** -52)) / n;
}
var ht = /* @__PURE__ */ new Map();
function gt(e) {
	return (("" + e).split(".")[1] || "").length;
}
function _t(e, t, n, r) {
	let i = [], a = r.map(gt);
	for (let o = t; o < n; o++) {
		let t = We(o), n = H(Xe(e, o), t);
		for (let s = 0; s < r.length; s++) {
			let c = e == 10 ? +`${r[s]}e${o}` : r[s] * n, l = (o >= 0 ? 0 : t) + (o >= a[s] ? 0 : a[s]), u = e == 10 ? c : H(c, l);
			i.push(u), ht.set(u, l);
		}
	}
	return i;
}
var vt = {}, yt = [], bt = [null, null], xt = Array.isArray, St = Number.isInteger, Ct = (e) => e === void 0;
function wt(e) {
	return typeof e == "string";
}
function Tt(e) {
	let t = !1;
	if (e != null) {
		let n = e.constructor;
		t = n == null || n == Object;
	}
	return t;
}
function Et(e) {
	return typeof e == "object" && !!e;
}
var Dt = Object.getPrototypeOf(Uint8Array), Ot = "__proto__";
function kt(e, t = Tt) {
	let n;
	if (xt(e)) {
		let r = e.find((e) => e != null);
		if (xt(r) || t(r)) {
			n = Array(e.length);
			for (let r = 0; r < e.length; r++) n[r] = kt(e[r], t);
		} else n = e.slice();
	} else if (e instanceof Dt) n = e.slice();
	else if (t(e)) {
		n = {};
		for (let r in e) r != Ot && (n[r] = kt(e[r], t));
	} else n = e;
	return n;
}
function At(e) {
	let t = arguments;
	for (let n = 1; n < t.length; n++) {
		let r = t[n];
		for (let t in r) t != Ot && (Tt(e[t]) ? At(e[t], kt(r[t])) : e[t] = kt(r[t]));
	}
	return e;
}
var U = 0, jt = 1, Mt = 2;
function Nt(e, t, n) {
	for (let r = 0, i, a = -1; r < t.length; r++) {
		let o = t[r];
		if (o > a) {
			for (i = o - 1; i >= 0 && e[i] == null;) e[i--] = null;
			for (i = o + 1; i < n && e[i] == null;) e[a = i++] = null;
		}
	}
}
function Pt(e, t) {
	if (Lt(e)) {
		let t = e[0].slice();
		for (let n = 1; n < e.length; n++) t.push(...e[n].slice(1));
		return Rt(t[0]) || (t = It(t)), t;
	}
	let n = /* @__PURE__ */ new Set();
	for (let t = 0; t < e.length; t++) {
		let r = e[t][0], i = r.length;
		for (let e = 0; e < i; e++) n.add(r[e]);
	}
	let r = [Array.from(n).sort((e, t) => e - t)], i = r[0].length, a = /* @__PURE__ */ new Map();
	for (let e = 0; e < i; e++) a.set(r[0][e], e);
	for (let n = 0; n < e.length; n++) {
		let o = e[n], s = o[0];
		for (let e = 1; e < o.length; e++) {
			let c = o[e], l = Array(i).fill(void 0), u = t ? t[n][e] : jt, d = [];
			for (let e = 0; e < c.length; e++) {
				let t = c[e], n = a.get(s[e]);
				t === null ? u != U && (l[n] = t, u == Mt && d.push(n)) : l[n] = t;
			}
			Nt(l, d, i), r.push(l);
		}
	}
	return r;
}
var Ft = typeof queueMicrotask > "u" ? (e) => Promise.resolve().then(e) : queueMicrotask;
function It(e) {
	let t = e[0], n = t.length, r = Array(n);
	for (let e = 0; e < r.length; e++) r[e] = e;
	r.sort((e, n) => t[e] - t[n]);
	let i = [];
	for (let t = 0; t < e.length; t++) {
		let a = e[t], o = Array(n);
		for (let e = 0; e < n; e++) o[e] = a[r[e]];
		i.push(o);
	}
	return i;
}
function Lt(e) {
	let t = e[0][0], n = t.length;
	for (let r = 1; r < e.length; r++) {
		let i = e[r][0];
		if (i.length != n) return !1;
		if (i != t) {
			for (let e = 0; e < n; e++) if (i[e] != t[e]) return !1;
		}
	}
	return !0;
}
function Rt(e, t = 100) {
	let n = e.length;
	if (n <= 1) return !0;
	let r = 0, i = n - 1;
	for (; r <= i && e[r] == null;) r++;
	for (; i >= r && e[i] == null;) i--;
	if (i <= r) return !0;
	let a = Ye(1, Ge((i - r + 1) / t));
	for (let t = e[r], n = r + a; n <= i; n += a) {
		let r = e[n];
		if (r != null) {
			if (r <= t) return !1;
			t = r;
		}
	}
	return !0;
}
var zt = [
	"January",
	"February",
	"March",
	"April",
	"May",
	"June",
	"July",
	"August",
	"September",
	"October",
	"November",
	"December"
], Bt = [
	"Sunday",
	"Monday",
	"Tuesday",
	"Wednesday",
	"Thursday",
	"Friday",
	"Saturday"
];
function Vt(e) {
	return e.slice(0, 3);
}
var Ht = Bt.map(Vt), Ut = {
	MMMM: zt,
	MMM: zt.map(Vt),
	WWWW: Bt,
	WWW: Ht
};
function Wt(e) {
	return (e < 10 ? "0" : "") + e;
}
function Gt(e) {
	return (e < 10 ? "00" : e < 100 ? "0" : "") + e;
}
var Kt = {
	YYYY: (e) => e.getFullYear(),
	YY: (e) => (e.getFullYear() + "").slice(2),
	MMMM: (e, t) => t.MMMM[e.getMonth()],
	MMM: (e, t) => t.MMM[e.getMonth()],
	MM: (e) => Wt(e.getMonth() + 1),
	M: (e) => e.getMonth() + 1,
	DD: (e) => Wt(e.getDate()),
	D: (e) => e.getDate(),
	WWWW: (e, t) => t.WWWW[e.getDay()],
	WWW: (e, t) => t.WWW[e.getDay()],
	HH: (e) => Wt(e.getHours()),
	H: (e) => e.getHours(),
	h: (e) => {
		let t = e.getHours();
		return t == 0 ? 12 : t > 12 ? t - 12 : t;
	},
	AA: (e) => e.getHours() >= 12 ? "PM" : "AM",
	aa: (e) => e.getHours() >= 12 ? "pm" : "am",
	a: (e) => e.getHours() >= 12 ? "p" : "a",
	mm: (e) => Wt(e.getMinutes()),
	m: (e) => e.getMinutes(),
	ss: (e) => Wt(e.getSeconds()),
	s: (e) => e.getSeconds(),
	fff: (e) => Gt(e.getMilliseconds())
};
function qt(e, t) {
	t ||= Ut;
	let n = [], r = /\{([a-z]+)\}|[^{]+/gi, i;
	for (; i = r.exec(e);) n.push(i[0][0] == "{" ? Kt[i[1]] : i[0]);
	return (e) => {
		let r = "";
		for (let i = 0; i < n.length; i++) r += typeof n[i] == "string" ? n[i] : n[i](e, t);
		return r;
	};
}
var Jt = new Intl.DateTimeFormat().resolvedOptions().timeZone;
function Yt(e, t) {
	let n;
	return t == "UTC" || t == "Etc/UTC" ? n = /* @__PURE__ */ new Date(+e + e.getTimezoneOffset() * 6e4) : t == Jt ? n = e : (n = new Date(e.toLocaleString("en-US", { timeZone: t })), n.setMilliseconds(e.getMilliseconds())), n;
}
var Xt = (e) => e % 1 == 0, Zt = [
	1,
	2,
	2.5,
	5
], Qt = _t(10, -32, 0, Zt), W = _t(10, 0, 32, Zt), $t = W.filter(Xt), en = Qt.concat(W), G = "\n", tn = "{YYYY}", nn = G + tn, rn = "{M}/{D}", an = G + rn, on = an + "/{YY}", sn = "{aa}", cn = "{h}:{mm}" + sn, ln = G + cn, un = ":{ss}", K = null;
function dn(e) {
	let t = e * 1e3, n = t * 60, r = n * 60, i = r * 24, a = i * 30, o = i * 365, s = (e == 1 ? _t(10, 0, 3, Zt).filter(Xt) : _t(10, -3, 0, Zt)).concat([
		t,
		t * 5,
		t * 10,
		t * 15,
		t * 30,
		n,
		n * 5,
		n * 10,
		n * 15,
		n * 30,
		r,
		r * 2,
		r * 3,
		r * 4,
		r * 6,
		r * 8,
		r * 12,
		i,
		i * 2,
		i * 3,
		i * 4,
		i * 5,
		i * 6,
		i * 7,
		i * 8,
		i * 9,
		i * 10,
		i * 15,
		a,
		a * 2,
		a * 3,
		a * 4,
		a * 6,
		o,
		o * 2,
		o * 5,
		o * 10,
		o * 25,
		o * 50,
		o * 100
	]), c = [
		[
			o,
			tn,
			K,
			K,
			K,
			K,
			K,
			K,
			1
		],
		[
			i * 28,
			"{MMM}",
			nn,
			K,
			K,
			K,
			K,
			K,
			1
		],
		[
			i,
			rn,
			nn,
			K,
			K,
			K,
			K,
			K,
			1
		],
		[
			r,
			"{h}" + sn,
			on,
			K,
			an,
			K,
			K,
			K,
			1
		],
		[
			n,
			cn,
			on,
			K,
			an,
			K,
			K,
			K,
			1
		],
		[
			t,
			un,
			on + " " + cn,
			K,
			an + " " + cn,
			K,
			ln,
			K,
			1
		],
		[
			e,
			un + ".{fff}",
			on + " " + cn,
			K,
			an + " " + cn,
			K,
			ln,
			K,
			1
		]
	];
	function l(t) {
		return (s, c, l, u, d, f) => {
			let p = [], m = d >= o, h = d >= a && d < o, g = t(l), _ = H(g * e, 3), v = xn(g.getFullYear(), m ? 0 : g.getMonth(), h || m ? 1 : g.getDate()), y = H(v * e, 3);
			if (h || m) {
				let n = h ? d / a : 0, r = m ? d / o : 0, i = _ == y ? _ : H(xn(v.getFullYear() + r, v.getMonth() + n, 1) * e, 3), s = new Date(Ke(i / e)), c = s.getFullYear(), l = s.getMonth();
				for (let a = 0; i <= u; a++) {
					let o = xn(c + r * a, l + n * a, 1), s = o - t(H(o * e, 3));
					i = H((+o + s) * e, 3), i <= u && p.push(i);
				}
			} else {
				let a = d >= i ? i : d, o = y + (Ge(l) - Ge(_)) + pt(_ - y, a);
				p.push(o);
				let m = t(o), h = m.getHours() + m.getMinutes() / n + m.getSeconds() / r, g = d / r, v = f / s.axes[c]._space;
				for (; o = H(o + d, e == 1 ? 0 : 3), !(o > u);) if (g > 1) {
					let e = Ge(H(h + g, 6)) % 24, n = t(o).getHours() - e;
					n > 1 && (n = -1), o -= n * r, h = (h + g) % 24;
					let i = p[p.length - 1];
					H((o - i) / d, 3) * v >= .7 && p.push(o);
				} else p.push(o);
			}
			return p;
		};
	}
	return [
		s,
		c,
		l
	];
}
var [fn, pn, mn] = dn(1), [hn, gn, _n] = dn(.001);
_t(2, -53, 53, [1]);
function vn(e, t) {
	return e.map((e) => e.map((n, r) => r == 0 || r == 8 || n == null ? n : t(r == 1 || e[8] == 0 ? n : e[1] + n)));
}
function yn(e, t) {
	return (n, r, i, a, o) => {
		let s = t.find((e) => o >= e[0]) || t[t.length - 1], c, l, u, d, f, p;
		return r.map((t) => {
			let n = e(t), r = n.getFullYear(), i = n.getMonth(), a = n.getDate(), o = n.getHours(), m = n.getMinutes(), h = n.getSeconds(), g = r != c && s[2] || i != l && s[3] || a != u && s[4] || o != d && s[5] || m != f && s[6] || h != p && s[7] || s[1];
			return c = r, l = i, u = a, d = o, f = m, p = h, g(n);
		});
	};
}
function bn(e, t) {
	let n = qt(t);
	return (t, r, i, a, o) => r.map((t) => n(e(t)));
}
function xn(e, t, n) {
	return new Date(e, t, n);
}
function Sn(e, t) {
	return t(e);
}
var Cn = "{YYYY}-{MM}-{DD} {h}:{mm}{aa}";
function wn(e, t) {
	return (n, r, i, a) => a == null ? le : t(e(r));
}
function Tn(e, t) {
	let n = e.series[t];
	return n.width ? n.stroke(e, t) : n.points.width ? n.points.stroke(e, t) : null;
}
function En(e, t) {
	return e.series[t].fill(e, t);
}
var Dn = {
	show: !0,
	live: !0,
	isolate: !1,
	mount: it,
	markers: {
		show: !0,
		width: 2,
		stroke: Tn,
		fill: En,
		dash: "solid"
	},
	idx: null,
	idxs: null,
	values: []
};
function On(e, t) {
	let n = e.cursor.points, r = _e(), i = n.size(e, t);
	N(r, x, i), N(r, S, i);
	let a = i / -2;
	N(r, "marginLeft", a), N(r, "marginTop", a);
	let o = n.width(e, t, i);
	return o && N(r, "borderWidth", o), r;
}
function kn(e, t) {
	let n = e.series[t].points;
	return n._fill || n._stroke;
}
function An(e, t) {
	let n = e.series[t].points;
	return n._stroke || n._fill;
}
function jn(e, t) {
	return e.series[t].points.size;
}
var Mn = [0, 0];
function Nn(e, t, n) {
	return Mn[0] = t, Mn[1] = n, Mn;
}
function Pn(e, t, n, r = !0) {
	return (e) => {
		e.button != 0 || r && e.target != t || n(e);
	};
}
function Fn(e, t, n, r = !0) {
	return (e) => {
		r && e.target != t || n(e);
	};
}
var In = {
	show: !0,
	x: !0,
	y: !0,
	lock: !1,
	move: Nn,
	points: {
		one: !1,
		show: On,
		size: jn,
		width: 0,
		stroke: An,
		fill: kn
	},
	bind: {
		mousedown: Pn,
		mouseup: Pn,
		click: Pn,
		dblclick: Pn,
		mousemove: Fn,
		mouseleave: Fn,
		mouseenter: Fn
	},
	drag: {
		setScale: !0,
		x: !0,
		y: !1,
		dist: 0,
		uni: null,
		click: (e, t) => {
			t.stopPropagation(), t.stopImmediatePropagation();
		},
		_x: !1,
		_y: !1
	},
	focus: {
		dist: (e, t, n, r, i) => r - i,
		prox: -1,
		bias: 0
	},
	hover: {
		skip: [void 0],
		prox: null,
		bias: 0
	},
	left: -10,
	top: -10,
	idx: null,
	dataIdx: null,
	idxs: null,
	event: null
}, Ln = {
	show: !0,
	stroke: "rgba(0,0,0,0.07)",
	width: 2
}, Rn = At({}, Ln, { filter: ot }), zn = At({}, Rn, { size: 10 }), Bn = At({}, Ln, { show: !1 }), Vn = "12px system-ui, -apple-system, \"Segoe UI\", Roboto, \"Helvetica Neue\", Arial, \"Noto Sans\", sans-serif, \"Apple Color Emoji\", \"Segoe UI Emoji\", \"Segoe UI Symbol\", \"Noto Color Emoji\"", Hn = "bold " + Vn, Un = 1.5, Wn = {
	show: !0,
	scale: "x",
	stroke: D,
	space: 50,
	gap: 5,
	alignTo: 1,
	size: 50,
	labelGap: 0,
	labelSize: 30,
	labelFont: Hn,
	side: 2,
	grid: Rn,
	ticks: zn,
	border: Bn,
	font: Vn,
	lineGap: Un,
	rotate: 0
}, Gn = "Value", Kn = "Time", qn = {
	show: !0,
	scale: "x",
	auto: !1,
	sorted: 1,
	min: B,
	max: -Infinity,
	idxs: []
};
function Jn(e, t, n, r, i) {
	return t.map((e) => e == null ? "" : Ve(e));
}
function Yn(e, t, n, r, i, a, o) {
	let s = [], c = ht.get(i) || 0;
	n = o ? n : H(pt(n, i), c);
	for (let e = n; e <= r; e = H(e + i, c)) s.push(Object.is(e, -0) ? 0 : e);
	return s;
}
function Xn(e, t, n, r, i, a, o) {
	let s = [], c = e.scales[e.axes[t].scale].log;
	i = Xe(c, Ge((c == 10 ? Qe : z)(n))), c == 10 && (i = en[De(i, en)]);
	let l = n, u = i * c;
	c == 10 && (u = en[De(u, en)]);
	do
		s.push(l), l += i, c == 10 && !ht.has(l) && (l = H(l, ht.get(i))), l >= u && (i = l, u = i * c, c == 10 && (u = en[De(u, en)]));
	while (l <= r);
	return s;
}
function Zn(e, t, n, r, i, a, o) {
	let s = e.scales[e.axes[t].scale].asinh, c = r > s ? Xn(e, t, Ye(s, n), r, i) : [s], l = r >= 0 && n <= 0 ? [0] : [];
	return (n < -s ? Xn(e, t, Ye(s, -r), -n, i) : [s]).reverse().map((e) => -e).concat(l, c);
}
var Qn = /./, $n = /[12357]/, er = /[125]/, tr = /1/, nr = (e, t, n, r) => e.map((e, i) => t == 4 && e == 0 || i % r == 0 && n.test(e.toExponential()[+(e < 0)]) ? e : null);
function rr(e, t, n, r, i) {
	let a = e.axes[n], o = a.scale, s = e.scales[o], c = e.valToPos, l = a._space, u = c(10, o), d = c(9, o) - u >= l ? Qn : c(7, o) - u >= l ? $n : c(5, o) - u >= l ? er : tr;
	if (d == tr) {
		let e = We(c(1, o) - u);
		if (e < l) return nr(t.slice().reverse(), s.distr, d, qe(l / e)).reverse();
	}
	return nr(t, s.distr, d, 1);
}
function ir(e, t, n, r, i) {
	let a = e.axes[n], o = a.scale, s = a._space, c = e.valToPos, l = We(c(1, o) - c(2, o));
	return l < s ? nr(t.slice().reverse(), 3, Qn, qe(s / l)).reverse() : t;
}
function ar(e, t, n, r) {
	return r == null ? le : t == null ? "" : Ve(t);
}
var or = {
	show: !0,
	scale: "y",
	stroke: D,
	space: 30,
	gap: 5,
	alignTo: 1,
	size: 50,
	labelGap: 0,
	labelSize: 30,
	labelFont: Hn,
	side: 3,
	grid: Rn,
	ticks: zn,
	border: Bn,
	font: Vn,
	lineGap: Un,
	rotate: 0
};
function sr(e, t) {
	return H((3 + (e || 1) * 2) * t, 3);
}
function cr(e, t) {
	let { scale: n, idxs: r } = e.series[0], i = e._data[0], a = e.valToPos(i[r[0]], n, !0), o = We(e.valToPos(i[r[1]], n, !0) - a) / (e.series[t].points.space * M);
	return r[1] - r[0] <= o;
}
var lr = {
	scale: null,
	auto: !0,
	sorted: 0,
	min: B,
	max: -Infinity
}, ur = (e, t, n, r, i) => i, dr = {
	show: !0,
	auto: !0,
	sorted: 0,
	gaps: ur,
	alpha: 1,
	facets: [At({}, lr, { scale: "x" }), At({}, lr, { scale: "y" })]
}, fr = {
	scale: "y",
	auto: !0,
	sorted: 0,
	show: !0,
	spanGaps: !1,
	gaps: ur,
	alpha: 1,
	points: {
		show: cr,
		filter: null
	},
	values: null,
	min: B,
	max: -Infinity,
	idxs: [],
	path: null,
	clip: null
};
function pr(e, t, n, r, i) {
	return n / 10;
}
var mr = {
	time: e,
	auto: !0,
	distr: 1,
	log: 10,
	asinh: 1,
	min: null,
	max: null,
	dir: 1,
	ori: 0
}, hr = At({}, mr, {
	time: !1,
	ori: 1
}), gr = {};
function _r(e, t) {
	let n = gr[e];
	return n || (n = {
		key: e,
		plots: [],
		sub(e) {
			n.plots.push(e);
		},
		unsub(e) {
			n.plots = n.plots.filter((t) => t != e);
		},
		pub(e, t, r, i, a, o, s) {
			for (let c = 0; c < n.plots.length; c++) n.plots[c] != t && n.plots[c].pub(e, t, r, i, a, o, s);
		}
	}, e != null && (gr[e] = n)), n;
}
var vr = 1, yr = 2;
function br(e, t, n) {
	let r = e.mode, i = e.series[t], a = r == 2 ? e._data[t] : e._data, o = e.scales, s = e.bbox, c = a[0], l = r == 2 ? a[1] : a[t], u = r == 2 ? o[i.facets[0].scale] : o[e.series[0].scale], d = r == 2 ? o[i.facets[1].scale] : o[i.scale], f = s.left, p = s.top, m = s.width, h = s.height, g = e.valToPosH, _ = e.valToPosV;
	return u.ori == 0 ? n(i, c, l, u, d, g, _, f, p, m, h, Or, Ar, Mr, Pr, Ir) : n(i, c, l, u, d, _, g, p, f, h, m, kr, jr, Nr, Fr, Lr);
}
function xr(e, t) {
	let n = 0, r = 0, i = L(e.bands, yt);
	for (let e = 0; e < i.length; e++) {
		let a = i[e];
		a.series[0] == t ? n = a.dir : a.series[1] == t && (a.dir == 1 ? r |= 1 : r |= 2);
	}
	return [n, r == 1 ? -1 : r == 2 ? 1 : r == 3 ? 2 : 0];
}
function Sr(e, t, n, r, i) {
	let a = e.mode, o = e.series[t], s = a == 2 ? o.facets[1].scale : o.scale, c = e.scales[s];
	return i == -1 ? c.min : i == 1 ? c.max : c.distr == 3 ? c.dir == 1 ? c.min : c.max : 0;
}
function q(e, t, n, r, i, a) {
	return br(e, t, (e, t, o, s, c, l, u, d, f, p, m) => {
		let h = e.pxRound, g = s.dir * (s.ori == 0 ? 1 : -1), _ = s.ori == 0 ? Ar : jr, v, y;
		g == 1 ? (v = n, y = r) : (v = r, y = n);
		let b = h(l(t[v], s, p, d)), x = h(u(o[v], c, m, f)), S = h(l(t[y], s, p, d)), C = h(u(a == 1 ? c.max : c.min, c, m, f)), w = new Path2D(i);
		return _(w, S, C), _(w, b, C), _(w, b, x), w;
	});
}
function Cr(e, t, n, r, i, a) {
	let o = null;
	if (e.length > 0) {
		o = new Path2D();
		let s = t == 0 ? Mr : Nr, c = n;
		for (let t = 0; t < e.length; t++) {
			let n = e[t];
			if (n[1] > n[0]) {
				let e = n[0] - c;
				e > 0 && s(o, c, r, e, r + a), c = n[1];
			}
		}
		let l = n + i - c;
		l > 0 && s(o, c, r - 5, l, r + a + 10);
	}
	return o;
}
function wr(e, t, n) {
	let r = e[e.length - 1];
	r && r[0] == t ? r[1] = n : e.push([t, n]);
}
function Tr(e, t, n, r, i, a, o) {
	let s = [], c = e.length;
	for (let l = i == 1 ? n : r; l >= n && l <= r; l += i) if (t[l] === null) {
		let u = l, d = l;
		if (i == 1) for (; ++l <= r && t[l] === null;) d = l;
		else for (; --l >= n && t[l] === null;) d = l;
		let f = a(e[u]), p = d == u ? f : a(e[d]), m = u - i;
		f = o <= 0 && m >= 0 && m < c ? a(e[m]) : f;
		let h = d + i;
		p = o >= 0 && h >= 0 && h < c ? a(e[h]) : p, p >= f && s.push([f, p]);
	}
	return s;
}
function Er(e) {
	return e == 0 ? at : e == 1 ? Ke : (t) => ft(t, e);
}
function Dr(e) {
	let t = e == 0 ? Or : kr, n = e == 0 ? (e, t, n, r, i, a) => {
		e.arcTo(t, n, r, i, a);
	} : (e, t, n, r, i, a) => {
		e.arcTo(n, t, i, r, a);
	}, r = e == 0 ? (e, t, n, r, i) => {
		e.rect(t, n, r, i);
	} : (e, t, n, r, i) => {
		e.rect(n, t, i, r);
	};
	return (e, i, a, o, s, c = 0, l = 0) => {
		c == 0 && l == 0 ? r(e, i, a, o, s) : (c = Je(c, o / 2, s / 2), l = Je(l, o / 2, s / 2), t(e, i + c, a), n(e, i + o, a, i + o, a + s, c), n(e, i + o, a + s, i, a + s, l), n(e, i, a + s, i, a, l), n(e, i, a, i + o, a, c), e.closePath());
	};
}
var Or = (e, t, n) => {
	e.moveTo(t, n);
}, kr = (e, t, n) => {
	e.moveTo(n, t);
}, Ar = (e, t, n) => {
	e.lineTo(t, n);
}, jr = (e, t, n) => {
	e.lineTo(n, t);
}, Mr = Dr(0), Nr = Dr(1), Pr = (e, t, n, r, i, a) => {
	e.arc(t, n, r, i, a);
}, Fr = (e, t, n, r, i, a) => {
	e.arc(n, t, r, i, a);
}, Ir = (e, t, n, r, i, a, o) => {
	e.bezierCurveTo(t, n, r, i, a, o);
}, Lr = (e, t, n, r, i, a, o) => {
	e.bezierCurveTo(n, t, i, r, o, a);
};
function Rr(e) {
	return (e, t, n, r, i) => br(e, t, (t, a, o, s, c, l, u, d, f, p, m) => {
		let { pxRound: h, points: g } = t, _, v;
		s.ori == 0 ? (_ = Or, v = Pr) : (_ = kr, v = Fr);
		let y = H(g.width * M, 3), b = (g.size - g.width) / 2 * M, x = H(b * 2, 3), S = new Path2D(), C = new Path2D(), { left: w, top: T, width: E, height: D } = e.bbox;
		Mr(C, w - x, T - x, E + x * 2, D + x * 2);
		let ee = (e) => {
			if (o[e] != null) {
				let t = h(l(a[e], s, p, d)), n = h(u(o[e], c, m, f));
				_(S, t + b, n), v(S, t, n, b, 0, Ue * 2);
			}
		};
		if (i) i.forEach(ee);
		else for (let e = n; e <= r; e++) ee(e);
		return {
			stroke: y > 0 ? S : null,
			fill: S,
			clip: C,
			flags: 3
		};
	});
}
function zr(e) {
	return (t, n, r, i, a, o) => {
		r != i && (a != r && o != r && e(t, n, r), a != i && o != i && e(t, n, i), e(t, n, o));
	};
}
var Br = zr(Ar), Vr = zr(jr);
function Hr(e) {
	let t = L(e?.alignGaps, 0);
	return (e, n, r, i) => br(e, n, (a, o, s, c, l, u, d, f, p, m, h) => {
		[r, i] = je(s, r, i);
		let g = a.pxRound, _ = (e) => g(u(e, c, m, f)), v = (e) => g(d(e, l, h, p)), y, b;
		c.ori == 0 ? (y = Ar, b = Br) : (y = jr, b = Vr);
		let x = c.dir * (c.ori == 0 ? 1 : -1), S = {
			stroke: new Path2D(),
			fill: null,
			clip: null,
			band: null,
			gaps: null,
			flags: vr
		}, C = S.stroke, w = !1;
		if (i - r >= m * 4) {
			let t = (t) => e.posToVal(t, c.key, !0), n = null, a = null, l, u, d, f = _(o[x == 1 ? r : i]), p = _(o[r]), m = _(o[i]), h = t(x == 1 ? p + 1 : m - 1);
			for (let e = x == 1 ? r : i; e >= r && e <= i; e += x) {
				let r = o[e], i = (x == 1 ? r < h : r > h) ? f : _(r), c = s[e];
				i == f ? c == null ? c === null && (w = !0) : (u = c, n == null ? (y(C, i, v(u)), l = n = a = u) : u < n ? n = u : u > a && (a = u)) : (n != null && b(C, f, v(n), v(a), v(l), v(u)), c == null ? (n = a = null, c === null && (w = !0)) : (u = c, y(C, i, v(u)), n = a = l = u), f = i, h = t(f + x));
			}
			n != null && n != a && d != f && b(C, f, v(n), v(a), v(l), v(u));
		} else for (let e = x == 1 ? r : i; e >= r && e <= i; e += x) {
			let t = s[e];
			t === null ? w = !0 : t != null && y(C, _(o[e]), v(t));
		}
		let [T, E] = xr(e, n);
		if (a.fill != null || T != 0) {
			let t = S.fill = new Path2D(C), s = v(a.fillTo(e, n, a.min, a.max, T)), c = _(o[r]), l = _(o[i]);
			x == -1 && ([l, c] = [c, l]), y(t, l, s), y(t, c, s);
		}
		if (!a.spanGaps) {
			let l = [];
			w && l.push(...Tr(o, s, r, i, x, _, t)), S.gaps = l = a.gaps(e, n, r, i, l), S.clip = Cr(l, c.ori, f, p, m, h);
		}
		return E != 0 && (S.band = E == 2 ? [q(e, n, r, i, C, -1), q(e, n, r, i, C, 1)] : q(e, n, r, i, C, E)), S;
	});
}
function Ur(e) {
	let t = L(e.align, 1), n = L(e.ascDesc, !1), r = L(e.alignGaps, 0), i = L(e.extend, !1);
	return (e, a, o, s) => br(e, a, (c, l, u, d, f, p, m, h, g, _, v) => {
		[o, s] = je(u, o, s);
		let y = c.pxRound, { left: b, width: x } = e.bbox, S = (e) => y(p(e, d, _, h)), C = (e) => y(m(e, f, v, g)), w = d.ori == 0 ? Ar : jr, T = {
			stroke: new Path2D(),
			fill: null,
			clip: null,
			band: null,
			gaps: null,
			flags: vr
		}, E = T.stroke, D = d.dir * (d.ori == 0 ? 1 : -1), ee = C(u[D == 1 ? o : s]), te = S(l[D == 1 ? o : s]), ne = te, re = te;
		i && t == -1 && (re = b, w(E, re, ee)), w(E, te, ee);
		for (let e = D == 1 ? o : s; e >= o && e <= s; e += D) {
			let n = u[e];
			if (n == null) continue;
			let r = S(l[e]), i = C(n);
			t == 1 ? w(E, r, ee) : w(E, ne, i), w(E, r, i), ee = i, ne = r;
		}
		let ie = ne;
		i && t == 1 && (ie = b + x, w(E, ie, ee));
		let [ae, oe] = xr(e, a);
		if (c.fill != null || ae != 0) {
			let t = T.fill = new Path2D(E), n = C(c.fillTo(e, a, c.min, c.max, ae));
			w(t, ie, n), w(t, re, n);
		}
		if (!c.spanGaps) {
			let i = [];
			i.push(...Tr(l, u, o, s, D, S, r));
			let f = c.width * M / 2, p = n || t == 1 ? f : -f, m = n || t == -1 ? -f : f;
			i.forEach((e) => {
				e[0] += p, e[1] += m;
			}), T.gaps = i = c.gaps(e, a, o, s, i), T.clip = Cr(i, d.ori, h, g, _, v);
		}
		return oe != 0 && (T.band = oe == 2 ? [q(e, a, o, s, E, -1), q(e, a, o, s, E, 1)] : q(e, a, o, s, E, oe)), T;
	});
}
function Wr(e, t, n, r, i, a, o = B) {
	if (e.length > 1) {
		let s = null;
		for (let c = 0, l = Infinity; c < e.length; c++) if (t[c] !== void 0) {
			if (s != null) {
				let t = We(e[c] - e[s]);
				t < l && (l = t, o = We(n(e[c], r, i, a) - n(e[s], r, i, a)));
			}
			s = c;
		}
	}
	return o;
}
function Gr(e) {
	e ||= vt;
	let t = L(e.size, [
		.6,
		B,
		1
	]), n = e.align || 0, r = e.gap || 0, i = e.radius;
	i = i == null ? [0, 0] : typeof i == "number" ? [i, 0] : i;
	let a = V(i), o = 1 - t[0], s = L(t[1], B), c = L(t[2], 1), l = L(e.disp, vt), u = L(e.each, (e) => {}), { fill: d, stroke: f } = l;
	return (e, t, i, p) => br(e, t, (m, h, g, _, v, y, b, x, S, C, w) => {
		let T = m.pxRound, E = n, D = r * M, ee = s * M, te = c * M, ne, re;
		_.ori == 0 ? [ne, re] = a(e, t) : [re, ne] = a(e, t);
		let ie = _.dir * (_.ori == 0 ? 1 : -1), ae = _.ori == 0 ? Mr : Nr, oe = _.ori == 0 ? u : (e, t, n, r, i, a, o) => {
			u(e, t, n, i, r, o, a);
		}, se = L(e.bands, yt).find((e) => e.series[0] == t), O = se == null ? 0 : se.dir, k = m.fillTo(e, t, m.min, m.max, O), ce = T(b(k, v, w, S)), le, A, ue, de = C, j = T(m.width * M), fe = !1, pe = null, me = null, he = null, N = null;
		d != null && (j == 0 || f != null) && (fe = !0, pe = d.values(e, t, i, p), me = /* @__PURE__ */ new Map(), new Set(pe).forEach((e) => {
			e != null && me.set(e, new Path2D());
		}), j > 0 && (he = f.values(e, t, i, p), N = /* @__PURE__ */ new Map(), new Set(he).forEach((e) => {
			e != null && N.set(e, new Path2D());
		})));
		let { x0: ge, size: _e } = l;
		if (ge != null && _e != null) {
			E = 1, h = ge.values(e, t, i, p), ge.unit == 2 && (h = h.map((t) => e.posToVal(x + t * C, _.key, !0)));
			let n = _e.values(e, t, i, p);
			A = _e.unit == 2 ? n[0] * C : y(n[0], _, C, x) - y(0, _, C, x), de = Wr(h, g, y, _, C, x, de), ue = de - A + D;
		} else de = Wr(h, g, y, _, C, x, de), ue = de * o + D, A = de - ue;
		ue < 1 && (ue = 0), j >= A / 2 && (j = 0), ue < 5 && (T = at);
		let ve = ue > 0, ye = de - ue - (ve ? j : 0);
		A = T(nt(ye, te, ee)), le = (E == 0 ? A / 2 : E == ie ? 0 : A) - E * ie * ((E == 0 ? D / 2 : 0) + (ve ? j / 2 : 0));
		let be = {
			stroke: null,
			fill: null,
			clip: null,
			band: null,
			gaps: null,
			flags: 0
		}, xe = fe ? null : new Path2D(), P = null;
		if (se != null) P = e.data[se.series[1]];
		else {
			let { y0: n, y1: r } = l;
			n != null && r != null && (g = r.values(e, t, i, p), P = n.values(e, t, i, p));
		}
		let Se = ne * A, Ce = re * A;
		for (let n = ie == 1 ? i : p; n >= i && n <= p; n += ie) {
			let r = g[n];
			if (r == null) continue;
			if (P != null) {
				let e = P[n] ?? 0;
				if (r - e == 0) continue;
				ce = b(e, v, w, S);
			}
			let i = y(_.distr != 2 || l != null ? h[n] : n, _, C, x), a = b(L(r, k), v, w, S), o = T(i - le), s = T(Ye(a, ce)), c = T(Je(a, ce)), u = s - c;
			if (r != null) {
				let i = r < 0 ? Ce : Se, a = r < 0 ? Se : Ce;
				fe ? (j > 0 && he[n] != null && ae(N.get(he[n]), o, c + Ge(j / 2), A, Ye(0, u - j), i, a), pe[n] != null && ae(me.get(pe[n]), o, c + Ge(j / 2), A, Ye(0, u - j), i, a)) : ae(xe, o, c + Ge(j / 2), A, Ye(0, u - j), i, a), oe(e, t, n, o - j / 2, c, A + j, u);
			}
		}
		return j > 0 ? be.stroke = fe ? N : xe : fe || (be._fill = m.width == 0 ? m._fill : m._stroke ?? m._fill, be.width = 0), be.fill = fe ? me : xe, be;
	});
}
function Kr(e, t) {
	let n = L(t?.alignGaps, 0);
	return (t, r, i, a) => br(t, r, (o, s, c, l, u, d, f, p, m, h, g) => {
		[i, a] = je(c, i, a);
		let _ = o.pxRound, v = (e) => _(d(e, l, h, p)), y = (e) => _(f(e, u, g, m)), b, x, S;
		l.ori == 0 ? (b = Or, S = Ar, x = Ir) : (b = kr, S = jr, x = Lr);
		let C = l.dir * (l.ori == 0 ? 1 : -1), w = v(s[C == 1 ? i : a]), T = w, E = [], D = [];
		for (let e = C == 1 ? i : a; e >= i && e <= a; e += C) if (c[e] != null) {
			let t = s[e], n = v(t);
			E.push(T = n), D.push(y(c[e]));
		}
		let ee = {
			stroke: e(E, D, b, S, x, _),
			fill: null,
			clip: null,
			band: null,
			gaps: null,
			flags: vr
		}, te = ee.stroke, [ne, re] = xr(t, r);
		if (o.fill != null || ne != 0) {
			let e = ee.fill = new Path2D(te), n = y(o.fillTo(t, r, o.min, o.max, ne));
			S(e, T, n), S(e, w, n);
		}
		if (!o.spanGaps) {
			let e = [];
			e.push(...Tr(s, c, i, a, C, v, n)), ee.gaps = e = o.gaps(t, r, i, a, e), ee.clip = Cr(e, l.ori, p, m, h, g);
		}
		return re != 0 && (ee.band = re == 2 ? [q(t, r, i, a, te, -1), q(t, r, i, a, te, 1)] : q(t, r, i, a, te, re)), ee;
	});
}
function qr(e) {
	return Kr(Jr, e);
}
function Jr(e, t, n, r, i, a) {
	let o = e.length;
	if (o < 2) return null;
	let s = new Path2D();
	if (n(s, e[0], t[0]), o == 2) r(s, e[1], t[1]);
	else {
		let n = Array(o), r = Array(o - 1), a = Array(o - 1), c = Array(o - 1);
		for (let n = 0; n < o - 1; n++) a[n] = t[n + 1] - t[n], c[n] = e[n + 1] - e[n], r[n] = a[n] / c[n];
		n[0] = r[0];
		for (let e = 1; e < o - 1; e++) r[e] === 0 || r[e - 1] === 0 || r[e - 1] > 0 != r[e] > 0 ? n[e] = 0 : (n[e] = 3 * (c[e - 1] + c[e]) / ((2 * c[e] + c[e - 1]) / r[e - 1] + (c[e] + 2 * c[e - 1]) / r[e]), isFinite(n[e]) || (n[e] = 0));
		n[o - 1] = r[o - 2];
		for (let r = 0; r < o - 1; r++) i(s, e[r] + c[r] / 3, t[r] + n[r] * c[r] / 3, e[r + 1] - c[r] / 3, t[r + 1] - n[r + 1] * c[r] / 3, e[r + 1], t[r + 1]);
	}
	return s;
}
var Yr = /* @__PURE__ */ new Set();
function Xr() {
	for (let e of Yr) e.syncRect(!0);
}
A && (Te(se, de, Xr), Te(O, de, Xr, !0), Te(ce, de, () => {
	fi.pxRatio = M;
}));
var Zr = Hr(), Qr = Rr();
function $r(e, t, n, r) {
	return (r ? [e[0], e[1]].concat(e.slice(2)) : [e[0]].concat(e.slice(1))).map((e, r) => ti(e, r, t, n));
}
function ei(e, t) {
	return e.map((e, n) => n == 0 ? {} : At({}, t, e));
}
function ti(e, t, n, r) {
	return At({}, t == 0 ? n : r, e);
}
function ni(e, t, n) {
	return t == null ? bt : [t, n];
}
var ri = ni;
function ii(e, t, n) {
	return t == null ? bt : Re(t, n, Fe, !0);
}
function ai(e, t, n, r) {
	return t == null ? bt : Ne(t, n, e.scales[r].log, !1);
}
var oi = ai;
function si(e, t, n, r) {
	return t == null ? bt : Pe(t, n, e.scales[r].log, !1);
}
var ci = si;
function li(e, t, n, r, i) {
	let a = Ye(tt(e), tt(t)), o = t - e, s = De(i / r * o, n);
	do {
		let e = n[s], t = r * e / o;
		if (t >= i && a + (e < 5 ? ht.get(e) : 0) <= 17) return [e, t];
	} while (++s < n.length);
	return [0, 0];
}
function ui(e) {
	let t, n;
	return e = e.replace(/(\d+)px/, (e, r) => (t = Ke((n = +r) * M)) + "px"), [
		e,
		t,
		n
	];
}
function di(e) {
	e.show && [e.font, e.labelFont].forEach((e) => {
		let t = H(e[2] * M, 1);
		e[0] = e[0].replace(/[0-9.]+px/, t + "px"), e[1] = t;
	});
}
function fi(e, D, se) {
	let O = { mode: L(e.mode, 1) }, k = O.mode;
	function A(e, t, n, r) {
		let i = t.valToPct(e);
		return r + n * (t.dir == -1 ? 1 - i : i);
	}
	function j(e, t, n, r) {
		let i = t.valToPct(e);
		return r + n * (t.dir == -1 ? i : 1 - i);
	}
	function fe(e, t, n, r) {
		return t.ori == 0 ? A(e, t, n, r) : j(e, t, n, r);
	}
	O.valToPosH = A, O.valToPosV = j;
	let pe = !1;
	O.status = 0;
	let ve = O.root = _e(t);
	if (e.id != null && (ve.id = e.id), me(ve, e.class), e.title) {
		let t = _e(i, ve);
		t.textContent = e.title;
	}
	let be = ge("canvas"), P = O.ctx = be.getContext("2d"), Ce = _e(a, ve);
	Te("click", Ce, (e) => {
		e.target === Oe && (X != Ni || Z != Pi) && Q.click(O, e);
	}, !0);
	let we = O.under = _e(o, Ce);
	Ce.appendChild(be);
	let Oe = O.over = _e(s, Ce);
	e = kt(e);
	let ke = +L(e.pxAlign, 1), Ae = Er(ke);
	(e.plugins || []).forEach((t) => {
		t.opts && (e = t.opts(O, e) || e);
	});
	let je = e.ms || .001, F = O.series = k == 1 ? $r(e.series || [], qn, fr, !1) : ei(e.series || [null], dr), Le = O.axes = $r(e.axes || [], Wn, or, !0), I = O.scales = {}, Be = O.bands = e.bands || [];
	Be.forEach((e) => {
		e.fill = V(e.fill || null), e.dir = L(e.dir, -1);
	});
	let R = k == 2 ? F[1].facets[0].scale : F[0].scale, Ve = {
		axes: Y,
		series: Kr
	}, He = (e.drawOrder || ["axes", "series"]).map((e) => Ve[e]);
	function Ge(e) {
		let t = e.distr == 3 ? (t) => Qe(t > 0 ? t : e.clamp(O, t, e.min, e.max, e.key)) : e.distr == 4 ? (t) => et(t, e.asinh) : e.distr == 100 ? (t) => e.fwd(t) : (e) => e;
		return (n) => {
			let r = t(n), { _min: i, _max: a } = e, o = a - i;
			return (r - i) / o;
		};
	}
	function Ze(t) {
		let n = I[t];
		if (n == null) {
			let r = (e.scales || vt)[t] || vt;
			if (r.from != null) {
				Ze(r.from);
				let e = At({}, I[r.from], r, { key: t });
				e.valToPct = Ge(e), I[t] = e;
			} else {
				n = I[t] = At({}, t == R ? mr : hr, r), n.key = t;
				let e = n.time, i = n.range, a = xt(i);
				if ((t != R || k == 2 && !e) && (a && (i[0] == null || i[1] == null) && (i = {
					min: i[0] == null ? Ie : {
						mode: 1,
						hard: i[0],
						soft: i[0]
					},
					max: i[1] == null ? Ie : {
						mode: 1,
						hard: i[1],
						soft: i[1]
					}
				}, a = !1), !a && Tt(i))) {
					let e = i;
					i = (t, n, r) => n == null ? bt : Re(n, r, e);
				}
				n.range = V(i || (e ? ri : t == R ? n.distr == 3 ? oi : n.distr == 4 ? ci : ni : n.distr == 3 ? ai : n.distr == 4 ? si : ii)), n.auto = V(!a && n.auto), n.clamp = V(n.clamp || pr), n._min = n._max = null, n.valToPct = Ge(n);
			}
		}
	}
	Ze("x"), Ze("y"), k == 1 && F.forEach((e) => {
		Ze(e.scale);
	}), Le.forEach((e) => {
		Ze(e.scale);
	});
	for (let t in e.scales) Ze(t);
	let z = I[R], tt = z.distr, it, at;
	z.ori == 0 ? (me(ve, n), it = A, at = j) : (me(ve, r), it = j, at = A);
	let ut = {};
	for (let e in I) {
		let t = I[e];
		(t.min != null || t.max != null) && (ut[e] = {
			min: t.min,
			max: t.max
		}, t.min = t.max = null);
	}
	let dt = e.tzDate || ((e) => new Date(Ke(e / je))), pt = e.fmtDate || qt, mt = je == 1 ? mn(dt) : _n(dt), _t = yn(dt, vn(je == 1 ? pn : gn, pt)), St = wn(dt, Sn(Cn, pt)), Dt = [], Ot = O.legend = At({}, Dn, e.legend), U = O.cursor = At({}, In, { drag: { y: k == 2 } }, e.cursor), jt = Ot.show, Mt = U.show, Nt = Ot.markers;
	Ot.idxs = Dt, Nt.width = V(Nt.width), Nt.dash = V(Nt.dash), Nt.stroke = V(Nt.stroke), Nt.fill = V(Nt.fill);
	let Pt, It, Lt, Rt = [], zt = [], Bt, Vt = !1, Ht = {};
	if (Ot.live) {
		let e = F[1] ? F[1].values : null;
		Vt = e != null, Bt = Vt ? e(O, 1, 0) : { _: 0 };
		for (let e in Bt) Ht[e] = le;
	}
	if (jt) {
		if (Pt = ge("table", m, ve), Lt = ge("tbody", null, Pt), Ot.mount(O, Pt), Vt) {
			It = ge("thead", null, Pt, Lt);
			let e = ge("tr", null, It);
			for (var Ut in ge("th", null, e), Bt) ge("th", y, e).textContent = Ut;
		} else me(Pt, g), Ot.live && me(Pt, h);
	}
	let Wt = { show: !0 }, Gt = { show: !1 };
	function Kt(e, t) {
		if (t == 0 && (Vt || !Ot.live || k == 2)) return bt;
		let n = [], r = ge("tr", _, Lt, Lt.childNodes[t]);
		me(r, e.class), e.show || me(r, l);
		let i = ge("th", null, r);
		if (Nt.show) {
			let e = _e(v, i);
			if (t > 0) {
				let n = Nt.width(O, t);
				n && (e.style.border = n + "px " + Nt.dash(O, t) + " " + Nt.stroke(O, t)), e.style.background = Nt.fill(O, t);
			}
		}
		let a = _e(y, i);
		for (var o in e.label instanceof HTMLElement ? a.appendChild(e.label) : a.textContent = e.label, t > 0 && (Nt.show || (a.style.color = e.width > 0 ? Nt.stroke(O, t) : Nt.fill(O, t)), Yt("click", i, (t) => {
			if (U._lock) return;
			Ln(t);
			let n = F.indexOf(e);
			if ((t.ctrlKey || t.metaKey) != Ot.isolate) {
				let e = F.some((e, t) => t > 0 && t != n && e.show);
				F.forEach((t, r) => {
					r > 0 && Wi(r, e ? r == n ? Wt : Gt : Wt, !0, ka.setSeries);
				});
			} else Wi(n, { show: !e.show }, !0, ka.setSeries);
		}, !1), Bn && Yt(ie, i, (t) => {
			U._lock || (Ln(t), Wi(F.indexOf(e), Qi, !0, ka.setSeries));
		}, !1)), Bt) {
			let e = ge("td", b, r);
			e.textContent = "--", n.push(e);
		}
		return [r, n];
	}
	let Jt = /* @__PURE__ */ new Map();
	function Yt(e, t, n, r = !0) {
		let i = Jt.get(t) || {}, a = U.bind[e](O, t, n, r);
		a && (Te(e, t, i[e] = a), Jt.set(t, i));
	}
	function Xt(e, t, n) {
		let r = Jt.get(t) || {};
		for (let n in r) (e == null || n == e) && (Ee(n, t, r[n]), delete r[n]);
		e ?? Jt.delete(t);
	}
	let Zt = 0, Qt = 0, W = 0, G = 0, tn = 0, nn = 0, rn = tn, an = nn, on = W, sn = G, cn = 0, ln = 0, un = 0, K = 0;
	O.bbox = {};
	let dn = !1, xn = !1, Tn = !1, En = !1, On = !1, kn = !1;
	function An(e, t, n) {
		(n || e != O.width || t != O.height) && jn(e, t), vi(!1), Tn = !0, xn = !0, Ci();
	}
	function jn(e, t) {
		O.width = Zt = W = e, O.height = Qt = G = t, tn = nn = 0, Pn(), Fn();
		let n = O.bbox;
		cn = n.left = ft(tn * M, .5), ln = n.top = ft(nn * M, .5), un = n.width = ft(W * M, .5), K = n.height = ft(G * M, .5);
	}
	function Mn() {
		let e = !1, t = 0;
		for (; !e;) {
			t++;
			let n = gi(t), r = _i(t);
			e = t == 3 || n && r, e || (jn(O.width, O.height), xn = !0);
		}
	}
	function Nn({ width: e, height: t }) {
		An(e, t);
	}
	O.setSize = Nn;
	function Pn() {
		let e = !1, t = !1, n = !1, r = !1;
		Le.forEach((i, a) => {
			if (i.show && i._show) {
				let { side: a, _size: o } = i, s = a % 2, c = o + (i.label == null ? 0 : i.labelSize);
				c > 0 && (s ? (W -= c, a == 3 ? (tn += c, r = !0) : n = !0) : (G -= c, a == 0 ? (nn += c, e = !0) : t = !0));
			}
		}), cr[0] = e, cr[1] = n, cr[2] = t, cr[3] = r, W -= br[1] + br[3], tn += br[3], G -= br[2] + br[0], nn += br[0];
	}
	function Fn() {
		let e = tn + W, t = nn + G, n = tn, r = nn;
		function i(i, a) {
			switch (i) {
				case 1: return e += a, e - a;
				case 2: return t += a, t - a;
				case 3: return n -= a, n + a;
				case 0: return r -= a, r + a;
			}
		}
		Le.forEach((e, t) => {
			if (e.show && e._show) {
				let t = e.side;
				e._pos = i(t, e._size), e.label != null && (e._lpos = i(t, e.labelSize));
			}
		});
	}
	if (U.dataIdx == null) {
		let e = U.hover, t = e.skip = new Set(e.skip ?? []);
		t.add(void 0);
		let n = e.prox = V(e.prox), r = e.bias ??= 0;
		U.dataIdx = (e, i, a, o) => {
			if (i == 0) return a;
			let s = a, c = n(e, i, a, o) ?? B, l = c >= 0 && c < B, u = z.ori == 0 ? W : G, d = U.left, f = D[0], p = D[i];
			if (t.has(p[a])) {
				s = null;
				let e = null, n = null, i;
				if (r == 0 || r == -1) for (i = a; e == null && i-- > 0;) t.has(p[i]) || (e = i);
				if (r == 0 || r == 1) for (i = a; n == null && i++ < p.length;) t.has(p[i]) || (n = i);
				if (e != null || n != null) {
					if (l) {
						let t = e == null ? -Infinity : it(f[e], z, u, 0), r = n == null ? Infinity : it(f[n], z, u, 0), i = d - t, a = r - d;
						i <= a ? i <= c && (s = e) : a <= c && (s = n);
					} else s = n == null ? e : e == null ? n : a - e <= n - a ? e : n;
				}
			} else l && We(d - it(f[a], z, u, 0)) > c && (s = null);
			return s;
		};
	}
	let Ln = (e) => {
		U.event = e;
	};
	U.idxs = Dt, U._lock = !1;
	let Rn = U.points;
	Rn.show = V(Rn.show), Rn.size = V(Rn.size), Rn.stroke = V(Rn.stroke), Rn.width = V(Rn.width), Rn.fill = V(Rn.fill);
	let zn = O.focus = At({}, e.focus || { alpha: .3 }, U.focus), Bn = zn.prox >= 0, Vn = Bn && Rn.one, Hn = [], Un = [], Qn = [];
	function $n(e, t) {
		let n = Rn.show(O, t);
		if (n instanceof HTMLElement) return me(n, p), me(n, e.class), ye(n, -10, -10, W, G), Oe.insertBefore(n, Hn[t]), n;
	}
	function er(e, t) {
		if (k == 1 || t > 0) {
			let t = k == 1 && I[e.scale].time, n = e.value;
			e.value = t ? wt(n) ? wn(dt, Sn(n, pt)) : n || St : n || ar, e.label = e.label || (t ? Kn : Gn);
		}
		if (Vn || t > 0) {
			e.width = e.width == null ? 1 : e.width, e.paths = e.paths || Zr || st, e.fillTo = V(e.fillTo || Sr), e.pxAlign = +L(e.pxAlign, ke), e.pxRound = Er(e.pxAlign), e.stroke = V(e.stroke || null), e.fill = V(e.fill || null), e._stroke = e._fill = e._paths = e._focus = null;
			let t = sr(Ye(1, e.width), 1), n = e.points = At({}, {
				size: t,
				width: Ye(1, t * .2),
				stroke: e.stroke,
				space: t * 2,
				paths: Qr,
				_stroke: null,
				_fill: null
			}, e.points);
			n.show = V(n.show), n.filter = V(n.filter), n.fill = V(n.fill), n.stroke = V(n.stroke), n.paths = V(n.paths), n.pxAlign = e.pxAlign;
		}
		if (jt) {
			let n = Kt(e, t);
			Rt.splice(t, 0, n[0]), zt.splice(t, 0, n[1]), Ot.values.push(null);
		}
		if (Mt) {
			Dt.splice(t, 0, null);
			let n = null;
			Vn ? t == 0 && (n = $n(e, t)) : t > 0 && (n = $n(e, t)), Hn.splice(t, 0, n), Un.splice(t, 0, 0), Qn.splice(t, 0, 0);
		}
		Da("addSeries", t);
	}
	function tr(e, t) {
		t ??= F.length, e = k == 1 ? ti(e, t, qn, fr) : ti(e, t, {}, dr), F.splice(t, 0, e), er(F[t], t);
	}
	O.addSeries = tr;
	function nr(e) {
		if (F.splice(e, 1), jt) {
			Ot.values.splice(e, 1), zt.splice(e, 1);
			let t = Rt.splice(e, 1)[0];
			Xt(null, t.firstChild), t.remove();
		}
		Mt && (Dt.splice(e, 1), Hn.splice(e, 1)[0].remove(), Un.splice(e, 1), Qn.splice(e, 1)), Da("delSeries", e);
	}
	O.delSeries = nr;
	let cr = [
		!1,
		!1,
		!1,
		!1
	];
	function lr(e, t) {
		if (e._show = e.show, e.show) {
			let n = e.side % 2, r = I[e.scale];
			r ??= (e.scale = n ? F[1].scale : R, I[e.scale]);
			let i = r.time;
			e.size = V(e.size), e.space = V(e.space), e.rotate = V(e.rotate), xt(e.incrs) && e.incrs.forEach((e) => {
				!ht.has(e) && ht.set(e, gt(e));
			}), e.incrs = V(e.incrs || (r.distr == 2 ? $t : i ? je == 1 ? fn : hn : en)), e.splits = V(e.splits || (i && r.distr == 1 ? mt : r.distr == 3 ? Xn : r.distr == 4 ? Zn : Yn)), e.stroke = V(e.stroke), e.grid.stroke = V(e.grid.stroke), e.ticks.stroke = V(e.ticks.stroke), e.border.stroke = V(e.border.stroke);
			let a = e.values;
			e.values = xt(a) && !xt(a[0]) ? V(a) : i ? xt(a) ? yn(dt, vn(a, pt)) : wt(a) ? bn(dt, a) : a || _t : a || Jn, e.filter = V(e.filter || (r.distr >= 3 && r.log == 10 ? rr : r.distr == 3 && r.log == 2 ? ir : ot)), e.font = ui(e.font), e.labelFont = ui(e.labelFont), e._size = e.size(O, null, t, 0), e._space = e._rotate = e._incrs = e._found = e._splits = e._values = null, e._size > 0 && (cr[t] = !0, e._el = _e(c, Ce));
		}
	}
	function ur(e, t, n, r) {
		let [i, a, o, s] = n, c = t % 2, l = 0;
		return c == 0 && (s || a) && (l = t == 0 && !i || t == 2 && !o ? Ke(Wn.size / 3) : 0), c == 1 && (i || o) && (l = t == 1 && !a || t == 3 && !s ? Ke(or.size / 2) : 0), l;
	}
	let gr = O.padding = (e.padding || [
		ur,
		ur,
		ur,
		ur
	]).map((e) => V(L(e, ur))), br = O._padding = gr.map((e, t) => e(O, t, cr, 0)), xr, q = null, Cr = null, wr = k == 1 ? F[0].idxs : null, Tr = null, Dr = !1;
	function Or(e, t) {
		if (D = e ?? [], O.data = O._data = D, k == 2) {
			xr = 0;
			for (let e = 1; e < F.length; e++) xr += D[e][0].length;
		} else {
			D.length == 0 && (O.data = O._data = D = [[]]), Tr = D[0], xr = Tr.length;
			let e = D;
			if (tt == 2) {
				e = D.slice();
				let t = e[0] = Array(xr);
				for (let e = 0; e < xr; e++) t[e] = e;
			}
			O._data = D = e;
		}
		if (vi(!0), Da("setData"), tt == 2 && (Tn = !0), t !== !1) {
			let e = z;
			e.auto(O, Dr) ? kr() : Ui(R, e.min, e.max), En ||= U.left >= 0, kn = !0, Ci();
		}
	}
	O.setData = Or;
	function kr() {
		Dr = !0;
		let e, t;
		k == 1 && (xr > 0 ? (q = wr[0] = 0, Cr = wr[1] = xr - 1, e = D[0][q], t = D[0][Cr], tt == 2 ? (e = q, t = Cr) : e == t && (tt == 3 ? [e, t] = Ne(e, e, z.log, !1) : tt == 4 ? [e, t] = Pe(e, e, z.log, !1) : z.time ? t = e + Ke(86400 / je) : [e, t] = Re(e, t, Fe, !0))) : (q = wr[0] = e = null, Cr = wr[1] = t = null)), Ui(R, e, t);
	}
	let Ar, jr, Mr, Nr, Pr, Fr, Ir, Lr, Rr, zr;
	function Br(e, t, n, r, i, a) {
		e ??= ee, n ??= yt, r ??= "butt", i ??= ee, a ??= "round", e != Ar && (P.strokeStyle = Ar = e), i != jr && (P.fillStyle = jr = i), t != Mr && (P.lineWidth = Mr = t), a != Pr && (P.lineJoin = Pr = a), r != Fr && (P.lineCap = Fr = r), n != Nr && P.setLineDash(Nr = n);
	}
	function Vr(e, t, n, r) {
		t != jr && (P.fillStyle = jr = t), e != Ir && (P.font = Ir = e), n != Lr && (P.textAlign = Lr = n), r != Rr && (P.textBaseline = Rr = r);
	}
	function Hr(e, t, n, r, i = 0) {
		if (r.length > 0 && e.auto(O, Dr) && (t == null || t.min == null)) {
			let t = L(q, 0), a = L(Cr, r.length - 1), o = n.min == null ? Me(r, t, a, i, e.distr == 3) : [n.min, n.max];
			e.min = Je(e.min, n.min = o[0]), e.max = Ye(e.max, n.max = o[1]);
		}
	}
	let Ur = {
		min: null,
		max: null
	};
	function Wr() {
		for (let e in I) {
			let t = I[e];
			ut[e] == null && (t.min == null || ut[R] != null && t.auto(O, Dr)) && (ut[e] = Ur);
		}
		for (let e in I) {
			let t = I[e];
			ut[e] == null && t.from != null && ut[t.from] != null && (ut[e] = Ur);
		}
		ut[R] != null && vi(!0);
		let e = {};
		for (let t in ut) {
			let n = ut[t];
			if (n != null) {
				let r = e[t] = kt(I[t], Et);
				if (n.min != null) At(r, n);
				else if (t != R || k == 2) {
					if (xr == 0 && r.from == null) {
						let e = r.range(O, null, null, t);
						r.min = e[0], r.max = e[1];
					} else r.min = B, r.max = -Infinity;
				}
			}
		}
		if (xr > 0) {
			F.forEach((t, n) => {
				if (k == 1) {
					let r = t.scale, i = ut[r];
					if (i == null) return;
					let a = e[r];
					if (n == 0) {
						let e = a.range(O, a.min, a.max, r);
						a.min = e[0], a.max = e[1], q = De(a.min, D[0]), Cr = De(a.max, D[0]), Cr - q > 1 && (D[0][q] < a.min && q++, D[0][Cr] > a.max && Cr--), t.min = Tr[q], t.max = Tr[Cr];
					} else t.show && t.auto && Hr(a, i, t, D[n], t.sorted);
					t.idxs[0] = q, t.idxs[1] = Cr;
				} else if (n > 0 && t.show && t.auto) {
					let [r, i] = t.facets, a = r.scale, o = i.scale, [s, c] = D[n], l = e[a], u = e[o];
					l != null && Hr(l, ut[a], r, s, r.sorted), u != null && Hr(u, ut[o], i, c, i.sorted), t.min = i.min, t.max = i.max;
				}
			});
			for (let t in e) {
				let n = e[t], r = ut[t];
				if (n.from == null && (r == null || r.min == null)) {
					let e = n.range(O, n.min == B ? null : n.min, n.max == -Infinity ? null : n.max, t);
					n.min = e[0], n.max = e[1];
				}
			}
		}
		for (let t in e) {
			let n = e[t];
			if (n.from != null) {
				let r = e[n.from];
				if (r.min == null) n.min = n.max = null;
				else {
					let e = n.range(O, r.min, r.max, t);
					n.min = e[0], n.max = e[1];
				}
			}
		}
		let t = {}, n = !1;
		for (let r in e) {
			let i = e[r], a = I[r];
			if (a.min != i.min || a.max != i.max) {
				a.min = i.min, a.max = i.max;
				let e = a.distr;
				a._min = e == 3 ? Qe(a.min) : e == 4 ? et(a.min, a.asinh) : e == 100 ? a.fwd(a.min) : a.min, a._max = e == 3 ? Qe(a.max) : e == 4 ? et(a.max, a.asinh) : e == 100 ? a.fwd(a.max) : a.max, t[r] = n = !0;
			}
		}
		if (n) {
			F.forEach((e, n) => {
				k == 2 ? n > 0 && t.y && (e._paths = null) : t[e.scale] && (e._paths = null);
			});
			for (let e in t) Tn = !0, Da("setScale", e);
			Mt && U.left >= 0 && (En = kn = !0);
		}
		for (let e in ut) ut[e] = null;
	}
	function Gr(e) {
		let t = nt(q - 1, 0, xr - 1), n = nt(Cr + 1, 0, xr - 1);
		for (; e[t] == null && t > 0;) t--;
		for (; e[n] == null && n < xr - 1;) n++;
		return [t, n];
	}
	function Kr() {
		if (xr > 0) {
			let e = F.some((e) => e._focus) && zr != zn.alpha;
			e && (P.globalAlpha = zr = zn.alpha), F.forEach((e, t) => {
				if (t > 0 && e.show && (qr(t, !1), qr(t, !0), e._paths == null)) {
					let n = zr;
					zr != e.alpha && (P.globalAlpha = zr = e.alpha);
					let r = k == 2 ? [0, D[t][0].length - 1] : Gr(D[t]);
					e._paths = e.paths(O, t, r[0], r[1]), zr != n && (P.globalAlpha = zr = n);
				}
			}), F.forEach((e, t) => {
				if (t > 0 && e.show) {
					let n = zr;
					zr != e.alpha && (P.globalAlpha = zr = e.alpha), e._paths != null && Jr(t, !1);
					{
						let n = e._paths == null ? null : e._paths.gaps, r = e.points.show(O, t, q, Cr, n), i = e.points.filter(O, t, r, n);
						(r || i) && (e.points._paths = e.points.paths(O, t, q, Cr, i), Jr(t, !0));
					}
					zr != n && (P.globalAlpha = zr = n), Da("drawSeries", t);
				}
			}), e && (P.globalAlpha = zr = 1);
		}
	}
	function qr(e, t) {
		let n = t ? F[e].points : F[e];
		n._stroke = n.stroke(O, e), n._fill = n.fill(O, e);
	}
	function Jr(e, t) {
		let n = t ? F[e].points : F[e], { stroke: r, fill: i, clip: a, flags: o, _stroke: s = n._stroke, _fill: c = n._fill, _width: l = n.width } = n._paths;
		l = H(l * M, 3);
		let u = null, d = l % 2 / 2;
		t && c == null && (c = l > 0 ? "#fff" : s);
		let f = n.pxAlign == 1 && d > 0;
		if (f && P.translate(d, d), !t) {
			let e = cn - l / 2, t = ln - l / 2, n = un + l, r = K + l;
			u = new Path2D(), u.rect(e, t, n, r);
		}
		t ? fi(s, l, n.dash, n.cap, c, r, i, o, a) : Xr(e, s, l, n.dash, n.cap, c, r, i, o, u, a), f && P.translate(-d, -d);
	}
	function Xr(e, t, n, r, i, a, o, s, c, l, u) {
		let d = !1;
		c != 0 && Be.forEach((f, p) => {
			if (f.series[0] == e) {
				let e = F[f.series[1]], m = D[f.series[1]], h = (e._paths || vt).band;
				xt(h) && (h = f.dir == 1 ? h[0] : h[1]);
				let g, _ = null;
				e.show && h && ze(m, q, Cr) ? (_ = f.fill(O, p) || a, g = e._paths.clip) : h = null, fi(t, n, r, i, _, o, s, c, l, u, g, h), d = !0;
			}
		}), d || fi(t, n, r, i, a, o, s, c, l, u);
	}
	function fi(e, t, n, r, i, a, o, s, c, l, u, d) {
		Br(e, t, n, r, i), (c || l || d) && (P.save(), c && P.clip(c), l && P.clip(l)), d ? (s & 3) == 3 ? (P.clip(d), u && P.clip(u), pi(i, o), J(e, a, t)) : s & yr ? (pi(i, o), P.clip(d), J(e, a, t)) : s & vr && (P.save(), P.clip(d), u && P.clip(u), pi(i, o), P.restore(), J(e, a, t)) : (pi(i, o), J(e, a, t)), (c || l || d) && P.restore();
	}
	function J(e, t, n) {
		n > 0 && (t instanceof Map ? t.forEach((e, t) => {
			P.strokeStyle = Ar = t, P.stroke(e);
		}) : t != null && e && P.stroke(t));
	}
	function pi(e, t) {
		t instanceof Map ? t.forEach((e, t) => {
			P.fillStyle = jr = t, P.fill(e);
		}) : t != null && e && P.fill(t);
	}
	function mi(e, t, n, r) {
		let i = Le[e], a;
		if (r <= 0) a = [0, 0];
		else {
			let o = i._space = i.space(O, e, t, n, r);
			a = li(t, n, i._incrs = i.incrs(O, e, t, n, r, o), r, o);
		}
		return i._found = a;
	}
	function hi(e, t, n, r, i, a, o, s, c, l) {
		let u = o % 2 / 2;
		ke == 1 && P.translate(u, u), Br(s, o, c, l, s), P.beginPath();
		let d, f, p, m, h = i + (r == 0 || r == 3 ? -a : a);
		n == 0 ? (f = i, m = h) : (d = i, p = h);
		for (let r = 0; r < e.length; r++) t[r] != null && (n == 0 ? d = p = e[r] : f = m = e[r], P.moveTo(d, f), P.lineTo(p, m));
		P.stroke(), ke == 1 && P.translate(-u, -u);
	}
	function gi(e) {
		let t = !0;
		return Le.forEach((n, r) => {
			if (!n.show) return;
			let i = I[n.scale];
			if (i.min == null) {
				n._show && (t = !1, n._show = !1, vi(!1));
				return;
			}
			n._show || (t = !1, n._show = !0, vi(!1));
			let a = n.side, o = a % 2, { min: s, max: c } = i, [l, u] = mi(r, s, c, o == 0 ? W : G);
			if (u == 0) return;
			let d = i.distr == 2, f = n._splits = n.splits(O, r, s, c, l, u, d), p = i.distr == 2 ? f.map((e) => Tr[e]) : f, m = i.distr == 2 ? Tr[f[1]] - Tr[f[0]] : l, h = n._values = n.values(O, n.filter(O, p, r, u, m), r, u, m);
			n._rotate = a == 2 ? n.rotate(O, h, r, u) : 0;
			let g = n._size;
			n._size = qe(n.size(O, h, r, e)), g != null && n._size != g && (t = !1);
		}), t;
	}
	function _i(e) {
		let t = !0;
		return gr.forEach((n, r) => {
			let i = n(O, r, cr, e);
			i != br[r] && (t = !1), br[r] = i;
		}), t;
	}
	function Y() {
		for (let e = 0; e < Le.length; e++) {
			let t = Le[e];
			if (!t.show || !t._show) continue;
			let n = t.side, r = n % 2, i, a, o = t.stroke(O, e), s = n == 0 || n == 3 ? -1 : 1, [c, l] = t._found;
			if (t.label != null) {
				let u = t.labelGap * s, d = Ke((t._lpos + u) * M);
				Vr(t.labelFont[0], o, "center", n == 2 ? C : w), P.save(), r == 1 ? (i = a = 0, P.translate(d, Ke(ln + K / 2)), P.rotate((n == 3 ? -Ue : Ue) / 2)) : (i = Ke(cn + un / 2), a = d);
				let f = rt(t.label) ? t.label(O, e, c, l) : t.label;
				P.fillText(f, i, a), P.restore();
			}
			if (l == 0) continue;
			let u = I[t.scale], d = r == 0 ? un : K, f = r == 0 ? cn : ln, p = t._splits, m = u.distr == 2 ? p.map((e) => Tr[e]) : p, h = u.distr == 2 ? Tr[p[1]] - Tr[p[0]] : c, g = t.ticks, _ = t.border, v = g.show ? g.size : 0, y = Ke(v * M), b = Ke((t.alignTo == 2 ? t._size - v - t.gap : t.gap) * M), x = t._rotate * -Ue / 180, S = Ae(t._pos * M), D = S + (y + b) * s;
			a = r == 0 ? D : 0, i = r == 1 ? D : 0;
			let ee = t.font[0];
			Vr(ee, o, t.align == 1 ? T : t.align == 2 ? E : x > 0 ? T : x < 0 ? E : r == 0 ? "center" : n == 3 ? E : T, x || r == 1 ? "middle" : n == 2 ? C : w);
			let te = t.font[1] * t.lineGap, ne = p.map((e) => Ae(fe(e, u, d, f))), re = t._values;
			for (let e = 0; e < re.length; e++) {
				let t = re[e];
				if (t != null) {
					r == 0 ? i = ne[e] : a = ne[e], t = "" + t;
					let n = t.indexOf("\n") == -1 ? [t] : t.split(/\n/gm);
					for (let e = 0; e < n.length; e++) {
						let t = n[e];
						x ? (P.save(), P.translate(i, a + e * te), P.rotate(x), P.fillText(t, 0, 0), P.restore()) : P.fillText(t, i, a + e * te);
					}
				}
			}
			g.show && hi(ne, g.filter(O, m, e, l, h), r, n, S, y, H(g.width * M, 3), g.stroke(O, e), g.dash, g.cap);
			let ie = t.grid;
			ie.show && hi(ne, ie.filter(O, m, e, l, h), r, r == 0 ? 2 : 1, r == 0 ? ln : cn, r == 0 ? K : un, H(ie.width * M, 3), ie.stroke(O, e), ie.dash, ie.cap), _.show && hi([S], [1], +(r == 0), r == 0 ? 1 : 2, r == 1 ? ln : cn, r == 1 ? K : un, H(_.width * M, 3), _.stroke(O, e), _.dash, _.cap);
		}
		Da("drawAxes");
	}
	function vi(e) {
		F.forEach((t, n) => {
			n > 0 && (t._paths = null, e && (k == 1 ? (t.min = null, t.max = null) : t.facets.forEach((e) => {
				e.min = null, e.max = null;
			})));
		});
	}
	let yi = !1, bi = !1, xi = [];
	function Si() {
		bi = !1;
		for (let e = 0; e < xi.length; e++) Da(...xi[e]);
		xi.length = 0;
	}
	function Ci() {
		yi ||= (Ft(Ti), !0);
	}
	function wi(e, t = !1) {
		yi = !0, bi = t, e(O), Ti(), t && xi.length > 0 && queueMicrotask(Si);
	}
	O.batch = wi;
	function Ti() {
		if (dn &&= (Wr(), !1), Tn &&= (Mn(), !1), xn) {
			if (N(we, T, tn), N(we, C, nn), N(we, x, W), N(we, S, G), N(Oe, T, tn), N(Oe, C, nn), N(Oe, x, W), N(Oe, S, G), N(Ce, x, Zt), N(Ce, S, Qt), be.width = Ke(Zt * M), be.height = Ke(Qt * M), Le.forEach(({ _el: e, _show: t, _size: n, _pos: r, side: i }) => {
				if (e != null) {
					if (t) {
						let t = i === 3 || i === 0 ? n : 0, a = i % 2 == 1;
						N(e, a ? "left" : "top", r - t), N(e, a ? "width" : "height", n), N(e, a ? "top" : "left", a ? nn : tn), N(e, a ? "height" : "width", a ? G : W), he(e, l);
					} else me(e, l);
				}
			}), Ar = jr = Mr = Pr = Fr = Ir = Lr = Rr = Nr = null, zr = 1, da(!0), tn != rn || nn != an || W != on || G != sn) {
				vi(!1);
				let e = W / on, t = G / sn;
				if (Mt && !En && U.left >= 0) {
					U.left *= e, U.top *= t, ki && ye(ki, Ke(U.left), 0, W, G), Ai && ye(Ai, 0, Ke(U.top), W, G);
					for (let n = 0; n < Hn.length; n++) {
						let r = Hn[n];
						r != null && (Un[n] *= e, Qn[n] *= t, ye(r, qe(Un[n]), qe(Qn[n]), W, G));
					}
				}
				if ($.show && !On && $.left >= 0 && $.width > 0) {
					$.left *= e, $.width *= e, $.top *= t, $.height *= t;
					for (let e in ma) N(Bi, e, $[e]);
				}
				rn = tn, an = nn, on = W, sn = G;
			}
			Da("setSize"), xn = !1;
		}
		Zt > 0 && Qt > 0 && (P.clearRect(0, 0, be.width, be.height), Da("drawClear"), He.forEach((e) => e()), Da("draw")), $.show && On && (Vi($), On = !1), Mt && En && (la(null, !0, !1), En = !1), Ot.show && Ot.live && kn && (sa(), kn = !1), pe || (pe = !0, O.status = 1, Da("ready")), Dr = !1, yi = !1;
	}
	O.redraw = (e, t) => {
		Tn = t || !1, e === !1 ? Ci() : Ui(R, z.min, z.max);
	};
	function Ei(e, t) {
		let n = I[e];
		if (n.from == null) {
			if (xr == 0) {
				let r = n.range(O, t.min, t.max, e);
				t.min = r[0], t.max = r[1];
			}
			if (t.min > t.max) {
				let e = t.min;
				t.min = t.max, t.max = e;
			}
			if (xr > 1 && t.min != null && t.max != null && t.max - t.min < 1e-16) return;
			e == R && n.distr == 2 && xr > 0 && (t.min = De(t.min, D[0]), t.max = De(t.max, D[0]), t.min == t.max && t.max++), ut[e] = t, dn = !0, Ci();
		}
	}
	O.setScale = Ei;
	let Di, Oi, ki, Ai, ji, Mi, Ni, Pi, Fi, Ii, X, Z, Li = !1, Q = U.drag, Ri = Q.x, zi = Q.y;
	Mt && (U.x && (Di = _e(d, Oe)), U.y && (Oi = _e(f, Oe)), z.ori == 0 ? (ki = Di, Ai = Oi) : (ki = Oi, Ai = Di), X = U.left, Z = U.top);
	let $ = O.select = At({
		show: !0,
		over: !0,
		left: 0,
		width: 0,
		top: 0,
		height: 0
	}, e.select), Bi = $.show ? _e(u, $.over ? Oe : we) : null;
	function Vi(e, t) {
		if ($.show) {
			for (let t in e) $[t] = e[t], t in ma && N(Bi, t, e[t]);
			t !== !1 && Da("setSelect");
		}
	}
	O.setSelect = Vi;
	function Hi(e) {
		if (F[e].show) jt && he(Rt[e], l);
		else if (jt && me(Rt[e], l), Mt) {
			let t = Vn ? Hn[0] : Hn[e];
			t != null && ye(t, -10, -10, W, G);
		}
	}
	function Ui(e, t, n) {
		Ei(e, {
			min: t,
			max: n
		});
	}
	function Wi(e, t, n, r) {
		t.focus != null && $i(e), t.show != null && F.forEach((n, r) => {
			r > 0 && (e == r || e == null) && (n.show = t.show, Hi(r), k == 2 ? (Ui(n.facets[0].scale, null, null), Ui(n.facets[1].scale, null, null)) : Ui(n.scale, null, null), Ci());
		}), n !== !1 && Da("setSeries", e, t), r && Ma("setSeries", O, e, t);
	}
	O.setSeries = Wi;
	function Gi(e, t) {
		At(Be[e], t);
	}
	function Ki(e, t) {
		e.fill = V(e.fill || null), e.dir = L(e.dir, -1), t ??= Be.length, Be.splice(t, 0, e);
	}
	function qi(e) {
		e == null ? Be.length = 0 : Be.splice(e, 1);
	}
	O.addBand = Ki, O.setBand = Gi, O.delBand = qi;
	function Ji(e, t) {
		F[e].alpha = t, Mt && Hn[e] != null && (Hn[e].style.opacity = t), jt && Rt[e] && (Rt[e].style.opacity = t);
	}
	let Yi, Xi, Zi, Qi = { focus: !0 };
	function $i(e) {
		if (e != Zi) {
			let t = e == null, n = zn.alpha != 1;
			F.forEach((r, i) => {
				if (k == 1 || i > 0) {
					let a = t || i == 0 || i == e;
					r._focus = t ? null : a, n && Ji(i, a ? 1 : zn.alpha);
				}
			}), Zi = e, n && Ci();
		}
	}
	jt && Bn && Yt(ae, Pt, (e) => {
		U._lock || (Ln(e), Zi != null && Wi(null, Qi, !0, ka.setSeries));
	});
	function ea(e, t, n) {
		let r = I[t];
		n && (e = e / M - (r.ori == 1 ? nn : tn));
		let i = W;
		r.ori == 1 && (i = G, e = i - e), r.dir == -1 && (e = i - e);
		let a = r._min, o = r._max, s = e / i, c = a + (o - a) * s, l = r.distr;
		return l == 3 ? Xe(10, c) : l == 4 ? $e(c, r.asinh) : l == 100 ? r.bwd(c) : c;
	}
	function ta(e, t) {
		return De(ea(e, R, t), D[0], q, Cr);
	}
	O.valToIdx = (e) => De(e, D[0]), O.posToIdx = ta, O.posToVal = ea, O.valToPos = (e, t, n) => I[t].ori == 0 ? A(e, I[t], n ? un : W, n ? cn : 0) : j(e, I[t], n ? K : G, n ? ln : 0), O.setCursor = (e, t, n) => {
		X = e.left, Z = e.top, la(null, t, n);
	};
	function na(e, t) {
		N(Bi, T, $.left = e), N(Bi, x, $.width = t);
	}
	function ra(e, t) {
		N(Bi, C, $.top = e), N(Bi, S, $.height = t);
	}
	let ia = z.ori == 0 ? na : ra, aa = z.ori == 1 ? na : ra;
	function oa() {
		if (jt && Ot.live) for (let e = +(k == 2); e < F.length; e++) {
			if (e == 0 && Vt) continue;
			let t = Ot.values[e], n = 0;
			for (let r in t) zt[e][n++].firstChild.nodeValue = t[r];
		}
	}
	function sa(e, t) {
		if (e != null && (e.idxs ? e.idxs.forEach((e, t) => {
			Dt[t] = e;
		}) : Ct(e.idx) || Dt.fill(e.idx), Ot.idx = Dt[0]), jt && Ot.live) {
			for (let e = 0; e < F.length; e++) (e > 0 || k == 1 && !Vt) && ca(e, Dt[e]);
			oa();
		}
		kn = !1, t !== !1 && Da("setLegend");
	}
	O.setLegend = sa;
	function ca(e, t) {
		let n = F[e], r = e == 0 && tt == 2 ? Tr : D[e], i;
		Vt ? i = n.values(O, e, t) ?? Ht : (i = n.value(O, t == null ? null : r[t], e, t), i = i == null ? Ht : { _: i }), Ot.values[e] = i;
	}
	function la(e, t, n) {
		Fi = X, Ii = Z, [X, Z] = U.move(O, X, Z), U.left = X, U.top = Z, Mt && (ki && ye(ki, Ke(X), 0, W, G), Ai && ye(Ai, 0, Ke(Z), W, G));
		let r, i = q > Cr;
		Yi = B, Xi = null;
		let a = z.ori == 0 ? W : G, o = z.ori == 1 ? W : G;
		if (X < 0 || xr == 0 || i) {
			r = U.idx = null;
			for (let e = 0; e < F.length; e++) {
				let t = Hn[e];
				t != null && ye(t, -10, -10, W, G);
			}
			Bn && Wi(null, Qi, !0, e == null && ka.setSeries), Ot.live && (Dt.fill(r), kn = !0);
		} else {
			let e, t, n;
			k == 1 && (e = z.ori == 0 ? X : Z, t = ea(e, R), r = U.idx = De(t, D[0], q, Cr), n = it(D[0][r], z, a, 0));
			let i = -10, s = -10, c = 0, l = 0, u = !0, d = "", f = "";
			for (let e = +(k == 2); e < F.length; e++) {
				let p = F[e], m = Dt[e], h = m == null ? null : k == 1 ? D[e][m] : D[e][1][m], g = U.dataIdx(O, e, r, t), _ = g == null ? null : k == 1 ? D[e][g] : D[e][1][g];
				if (kn = kn || _ != h || g != m, Dt[e] = g, e > 0 && p.show) {
					let t = g == null ? -10 : g == r ? n : it(k == 1 ? D[0][g] : D[e][0][g], z, a, 0), m = _ == null ? -10 : at(_, k == 1 ? I[p.scale] : I[p.facets[1].scale], o, 0);
					if (Bn && _ != null) {
						let t = z.ori == 1 ? X : Z, n = We(zn.dist(O, e, g, m, t));
						if (n < Yi) {
							let r = zn.bias;
							if (r != 0) {
								let i = ea(t, p.scale), a = _ >= 0 ? 1 : -1, o = i >= 0 ? 1 : -1;
								o == a && (o == 1 ? r == 1 ? _ >= i : _ <= i : r == 1 ? _ <= i : _ >= i) && (Yi = n, Xi = e);
							} else Yi = n, Xi = e;
						}
					}
					if (kn || Vn) {
						let n, r;
						z.ori == 0 ? (n = t, r = m) : (n = m, r = t);
						let a, o, p, h, g, _, v = !0, y = Rn.bbox;
						if (y != null) {
							v = !1;
							let t = y(O, e);
							p = t.left, h = t.top, a = t.width, o = t.height;
						} else p = n, h = r, a = o = Rn.size(O, e);
						if (_ = Rn.fill(O, e), g = Rn.stroke(O, e), Vn) e == Xi && Yi <= zn.prox && (i = p, s = h, c = a, l = o, u = v, d = _, f = g);
						else {
							let t = Hn[e];
							t != null && (Un[e] = p, Qn[e] = h, Se(t, a, o, v), xe(t, _, g), ye(t, qe(p), qe(h), W, G));
						}
					}
				}
			}
			if (Vn) {
				let e = zn.prox;
				if (kn || (Zi == null ? Yi <= e : Yi > e || Xi != Zi)) {
					let e = Hn[0];
					e != null && (Un[0] = i, Qn[0] = s, Se(e, c, l, u), xe(e, d, f), ye(e, qe(i), qe(s), W, G));
				}
			}
		}
		if ($.show && Li) {
			if (e != null) {
				let [t, n] = ka.scales, [r, i] = ka.match, [s, c] = e.cursor.sync.scales, l = e.cursor.drag;
				if (Ri = l._x, zi = l._y, Ri || zi) {
					let { left: l, top: u, width: d, height: f } = e.select, p = e.scales[s].ori, m = e.posToVal, h, g, _, v, y, b = t != null && r(t, s), x = n != null && i(n, c);
					b && Ri ? (p == 0 ? (h = l, g = d) : (h = u, g = f), _ = I[t], v = it(m(h, s), _, a, 0), y = it(m(h + g, s), _, a, 0), ia(Je(v, y), We(y - v))) : ia(0, a), x && zi ? (p == 1 ? (h = l, g = d) : (h = u, g = f), _ = I[n], v = at(m(h, c), _, o, 0), y = at(m(h + g, c), _, o, 0), aa(Je(v, y), We(y - v))) : aa(0, o);
				} else ha();
			} else {
				let e = We(Fi - ji), t = We(Ii - Mi);
				if (z.ori == 1) {
					let n = e;
					e = t, t = n;
				}
				Ri = Q.x && e >= Q.dist, zi = Q.y && t >= Q.dist;
				let n = Q.uni;
				n == null ? Q.x && Q.y && (Ri || zi) && (Ri = zi = !0) : Ri && zi && (Ri = e >= n, zi = t >= n, !Ri && !zi && (t > e ? zi = !0 : Ri = !0));
				let r, i;
				Ri && (z.ori == 0 ? (r = Ni, i = X) : (r = Pi, i = Z), ia(Je(r, i), We(i - r)), zi || aa(0, o)), zi && (z.ori == 1 ? (r = Ni, i = X) : (r = Pi, i = Z), aa(Je(r, i), We(i - r)), Ri || ia(0, a)), !Ri && !zi && (ia(0, 0), aa(0, 0));
			}
		}
		if (Q._x = Ri, Q._y = zi, e == null) {
			if (n) {
				if (Aa != null) {
					let [e, t] = ka.scales;
					ka.values[0] = e == null ? null : ea(z.ori == 0 ? X : Z, e), ka.values[1] = t == null ? null : ea(z.ori == 1 ? X : Z, t);
				}
				Ma(te, O, X, Z, W, G, r);
			}
			if (Bn) {
				let e = n && ka.setSeries, t = zn.prox;
				Zi == null ? Yi <= t && Wi(Xi, Qi, !0, e) : Yi > t ? Wi(null, Qi, !0, e) : Xi != Zi && Wi(Xi, Qi, !0, e);
			}
		}
		kn && (Ot.idx = r, sa()), t !== !1 && Da("setCursor");
	}
	let ua = null;
	Object.defineProperty(O, "rect", { get() {
		return ua ?? da(!1), ua;
	} });
	function da(e = !1) {
		e ? ua = null : (ua = Oe.getBoundingClientRect(), Da("syncRect", ua));
	}
	function fa(e, t, n, r, i, a, o) {
		U._lock || Li && e != null && e.movementX == 0 && e.movementY == 0 || (pa(e, t, n, r, i, a, o, !1, e != null), e == null ? la(t, !0, !1) : la(null, !0, !0));
	}
	function pa(e, t, n, r, i, a, o, s, c) {
		if (ua ?? da(!1), Ln(e), e != null) n = e.clientX - ua.left, r = e.clientY - ua.top;
		else {
			if (n < 0 || r < 0) {
				X = -10, Z = -10;
				return;
			}
			let [e, o] = ka.scales, s = t.cursor.sync, [c, l] = s.values, [u, d] = s.scales, [f, p] = ka.match, m = t.axes[0].side % 2 == 1, h = z.ori == 0 ? W : G, g = z.ori == 1 ? W : G, _ = m ? a : i, v = m ? i : a, y = m ? r : n, b = m ? n : r;
			if (n = u == null ? y / _ * h : f(e, u) ? fe(c, I[e], h, 0) : -10, r = d == null ? b / v * g : p(o, d) ? fe(l, I[o], g, 0) : -10, z.ori == 1) {
				let e = n;
				n = r, r = e;
			}
		}
		c && (t == null || t.cursor.event.type == te) && ((n <= 1 || n >= W - 1) && (n = ft(n, W)), (r <= 1 || r >= G - 1) && (r = ft(r, G))), s ? (ji = n, Mi = r, [Ni, Pi] = U.move(O, n, r)) : (X = n, Z = r);
	}
	let ma = {
		width: 0,
		height: 0,
		left: 0,
		top: 0
	};
	function ha() {
		Vi(ma, !1);
	}
	let ga, _a, va, ya;
	function ba(e, t, n, r, i, a, o) {
		Li = !0, Ri = zi = Q._x = Q._y = !1, pa(e, t, n, r, i, a, o, !0, !1), e != null && (Yt(re, ue, xa, !1), Ma(ne, O, Ni, Pi, W, G, null));
		let { left: s, top: c, width: l, height: u } = $;
		ga = s, _a = c, va = l, ya = u;
	}
	function xa(e, t, n, r, i, a, o) {
		Li = Q._x = Q._y = !1, pa(e, t, n, r, i, a, o, !1, !0);
		let { left: s, top: c, width: l, height: u } = $, d = l > 0 || u > 0, f = ga != s || _a != c || va != l || ya != u;
		if (d && f && Vi($), Q.setScale && d && f) {
			let e = s, t = l, n = c, r = u;
			if (z.ori == 1 && (e = c, t = u, n = s, r = l), Ri && Ui(R, ea(e, R), ea(e + t, R)), zi) for (let e in I) {
				let t = I[e];
				e != R && t.from == null && t.min != B && Ui(e, ea(n + r, e), ea(n, e));
			}
			ha();
		} else U.lock && (U._lock = !U._lock, la(t, !0, e != null));
		e != null && (Xt(re, ue), Ma(re, O, X, Z, W, G, null));
	}
	function Sa(e, t, n, r, i, a, o) {
		if (U._lock) return;
		Ln(e);
		let s = Li;
		if (Li) {
			let e = !0, t = !0, n, r;
			z.ori == 0 ? (n = Ri, r = zi) : (n = zi, r = Ri), n && r && (e = X <= 10 || X >= W - 10, t = Z <= 10 || Z >= G - 10), n && e && (X = X < Ni ? 0 : W), r && t && (Z = Z < Pi ? 0 : G), la(null, !0, !0), Li = !1;
		}
		X = -10, Z = -10, Dt.fill(null), la(null, !0, !0), s && (Li = s);
	}
	function Ca(e, t, n, r, i, a, o) {
		U._lock || (Ln(e), kr(), ha(), e != null && Ma(oe, O, X, Z, W, G, null));
	}
	function wa() {
		Le.forEach(di), An(O.width, O.height, !0);
	}
	Te(ce, de, wa);
	let Ta = {};
	Ta.mousedown = ba, Ta.mousemove = fa, Ta.mouseup = xa, Ta.dblclick = Ca, Ta.setSeries = (e, t, n, r) => {
		let i = ka.match[2];
		n = i(O, t, n), n != -1 && Wi(n, r, !0, !1);
	}, Mt && (Yt(ne, Oe, ba), Yt(te, Oe, fa), Yt(ie, Oe, (e) => {
		Ln(e), da(!1);
	}), Yt(ae, Oe, Sa), Yt(oe, Oe, Ca), Yr.add(O), O.syncRect = da);
	let Ea = O.hooks = e.hooks || {};
	function Da(e, t, n) {
		bi ? xi.push([
			e,
			t,
			n
		]) : e in Ea && Ea[e].forEach((e) => {
			e.call(null, O, t, n);
		});
	}
	(e.plugins || []).forEach((e) => {
		for (let t in e.hooks) Ea[t] = (Ea[t] || []).concat(e.hooks[t]);
	});
	let Oa = (e, t, n) => n, ka = At({
		key: null,
		setSeries: !1,
		filters: {
			pub: ct,
			sub: ct
		},
		scales: [R, F[1] ? F[1].scale : null],
		match: [
			lt,
			lt,
			Oa
		],
		values: [null, null]
	}, U.sync);
	ka.match.length == 2 && ka.match.push(Oa), U.sync = ka;
	let Aa = ka.key, ja = _r(Aa);
	function Ma(e, t, n, r, i, a, o) {
		ka.filters.pub(e, t, n, r, i, a, o) && ja.pub(e, t, n, r, i, a, o);
	}
	ja.sub(O);
	function Na(e, t, n, r, i, a, o) {
		ka.filters.sub(e, t, n, r, i, a, o) && Ta[e](null, t, n, r, i, a, o);
	}
	O.pub = Na;
	function Pa() {
		ja.unsub(O), Yr.delete(O), Jt.clear(), Ee(ce, de, wa), ve.remove(), Pt?.remove(), Da("destroy");
	}
	O.destroy = Pa;
	function Fa() {
		Da("init", e, D), Or(D || e.data, !1), ut[R] ? Ei(R, ut[R]) : kr(), On = $.show && ($.width > 0 || $.height > 0), En = kn = !0, An(e.width, e.height);
	}
	return F.forEach(er), Le.forEach(lr), se ? se instanceof HTMLElement ? (se.appendChild(ve), Fa()) : se(O, Fa) : Fa(), O;
}
fi.assign = At, fi.fmtNum = Ve, fi.rangeNum = Re, fi.rangeLog = Ne, fi.rangeAsinh = Pe, fi.orient = br, fi.pxRatio = M, fi.join = Pt, fi.fmtDate = qt, fi.tzDate = Yt, fi.sync = _r;
{
	fi.addGap = wr, fi.clipGaps = Cr;
	let e = fi.paths = { points: Rr };
	e.linear = Hr, e.stepped = Ur, e.bars = Gr, e.spline = qr;
}
// src/dom.ts
function J(e, t = {}, ...n) {
	let r = document.createElement(e);
	for (let [e, n] of Object.entries(t)) n !== void 0 && n !== !1 && (typeof n == "function" ? r.addEventListener(e, n) : r.setAttribute(e, n === !0 ? "" : String(n)));
	for (let e of n) e != null && r.append(e instanceof Node ? e : String(e));
	return r;
}
function pi(e, t, n, r, i, a = (e) => e) {
	let o = J("select", {
		change: () => r(o.value),
		"aria-label": e,
		id: i ? `pick-${i}` : void 0
	});
	for (let e of t) o.append(J("option", {
		value: e,
		selected: e === n
	}, a(e)));
	return J("label", { class: "field" }, J("span", {}, e), o);
}
function mi(e, t, n) {
	return J("button", {
		click: t,
		title: n,
		type: "button"
	}, e);
}
function hi(e, t) {
	let n = J("a", {
		href: URL.createObjectURL(t),
		download: e.replace(/[^\w.-]+/g, "_")
	});
	n.click(), setTimeout(() => URL.revokeObjectURL(n.href), 1e3);
}
function gi(e, t, n) {
	let r = (e) => typeof e == "number" ? String(e) : `"${(/^[=+\-@\t\r]/.test(e) ? "'" : "") + e.replaceAll("\"", "\"\"")}"`, i = [t.map(r).join(",")];
	for (let e of n) i.push(e.map(r).join(","));
	hi(`${e}.csv`, new Blob([i.join("\n") + "\n"], { type: "text/csv" }));
}
function _i(e, t) {
	let n = J("canvas", {
		width: t.width,
		height: t.height
	}), r = n.getContext("2d");
	r.fillStyle = getComputedStyle(document.body).backgroundColor, r.fillRect(0, 0, n.width, n.height), r.drawImage(t, 0, 0), n.toBlob((t) => t && hi(`${e}.png`, t));
}
// src/format.ts
function Y(e) {
	if (e == null || Number.isNaN(e)) return "–";
	if (!Number.isFinite(e)) return e > 0 ? "∞" : "−∞";
	if (e === 0) return "0";
	let t = Math.abs(e);
	return t >= 1e5 || t < .001 ? e.toExponential(2).replace(/\.?0*e\+?/, "e") : String(Number(e.toPrecision(4)));
}
var vi = (e) => e.toLocaleString("en-US");
function yi(e) {
	for (let [t, n] of [
		["GB", 1e9],
		["MB", 1e6],
		["kB", 1e3]
	]) if (e >= n) return `${Number((e / n).toPrecision(3))} ${t}`;
	return `${e} B`;
}
var bi = {
	ratio: "log10(update / weight)",
	effective_rate: "effective learning rate",
	gradient_max: "largest gradient",
	gradient_zeros: "zeros in the gradient",
	gradient_nonfinite: "non-finite gradients",
	weight_zeros: "sparsity",
	mask_changes: "mask changes"
}, xi = (e) => bi[e] ?? e.replaceAll("_", " ");
function Si(e) {
	let t = Math.max(0, Date.now() / 1e3 - e);
	return t < 90 ? `${Math.round(t)} s ago` : t < 5400 ? `${Math.round(t / 60)} min ago` : t < 129600 ? `${Math.round(t / 3600)} h ago` : `${Math.round(t / 86400)} days ago`;
}
// src/theme.ts
var Ci = [
	"#0072b2",
	"#d55e00",
	"#009e73",
	"#cc79a7",
	"#56b4e9",
	"#e69f00",
	"#7f7f7f",
	"#8a5a00"
], wi = [
	"#56b4e9",
	"#e69f00",
	"#2bc79a",
	"#e39cc5",
	"#4d8fd6",
	"#f0e442",
	"#b0b0b0",
	"#c98f3a"
], Ti = () => document.documentElement.dataset.theme === "dark", Ei = () => Ti() ? wi : Ci, Di = (e) => getComputedStyle(document.documentElement).getPropertyValue(e).trim(), Oi = [
	[
		0,
		34,
		78
	],
	[
		35,
		62,
		108
	],
	[
		87,
		92,
		109
	],
	[
		124,
		123,
		120
	],
	[
		165,
		156,
		116
	],
	[
		212,
		190,
		94
	],
	[
		254,
		232,
		56
	]
], ki = [
	[
		5,
		80,
		160
	],
	[
		86,
		160,
		211
	],
	[
		186,
		208,
		222
	],
	[
		238,
		238,
		238
	],
	[
		244,
		200,
		160
	],
	[
		226,
		131,
		53
	],
	[
		160,
		70,
		0
	]
];
function Ai(e, t) {
	let n = t ? ki : Oi, r = Math.min(Math.max(e, 0), 1) * (n.length - 1), i = Math.min(Math.floor(r), n.length - 2);
	return n[i].map((e, t) => Math.round(e + (r - i) * (n[i + 1][t] - e)));
}
function ji(e) {
	let t = parent === window ? null : parent.document.body, n = matchMedia("(prefers-color-scheme: dark)"), r = () => {
		let r = (t ? t.classList.contains("dark-mode") : n.matches) ? "dark" : "light";
		document.documentElement.dataset.theme !== r && (document.documentElement.dataset.theme = r, e());
	};
	t ? new MutationObserver(r).observe(t, {
		attributes: !0,
		attributeFilter: ["class"]
	}) : n.addEventListener("change", r), r();
}
// src/chart.ts
function Mi(e, t, n, r) {
	let i = Math.floor(Math.log10(n)), a = Math.ceil(Math.log10(r)), o = Math.max(1, Math.ceil((a - i) / 6));
	return Array.from({ length: Math.floor((a - i) / o) + 1 }, (e, t) => 10 ** (i + t * o)).filter((e) => e >= .999 * n && e <= 1.001 * r);
}
var Ni = /* @__PURE__ */ new Set();
new ResizeObserver(() => {
	for (let e of Ni) {
		let t = e.root.parentElement?.clientWidth;
		t && Math.abs(t - e.width) > 1 && e.setSize({
			width: t,
			height: e.height
		});
	}
}).observe(document.documentElement);
function Pi() {
	for (let e of Ni) e.destroy();
	Ni.clear();
}
function Fi(e) {
	let t = J("div", { class: "plot" }), n = Ei(), r = {
		stroke: Di("--muted"),
		grid: {
			stroke: Di("--grid"),
			width: 1
		},
		ticks: {
			stroke: Di("--grid"),
			width: 1
		},
		font: "11px system-ui, sans-serif"
	}, i = (e) => e === null ? "–" : Y(e), a = (t) => Number.isFinite(t) && (!e.log || t > 0) ? t : null, o = e.lines.map((e) => e.values.map(a)), s = e.marks ?? [], c = o.some((e) => e.some((e) => e !== null)), l = J("figure", {
		class: "card chart",
		"data-chart": e.name
	}, J("figcaption", {}, J("h3", {}, e.title), J("span", { class: "tools" }, mi("CSV", () => gi(e.name, ["step", ...e.lines.map((e) => e.label)], Array.from(e.steps, (t, n) => [t, ...e.lines.map((e) => e.values[n])])), "Download the values"), mi("PNG", () => {
		let n = t.querySelector("canvas");
		n && _i(e.name, n);
	}, "Download the picture"))), t);
	return c ? (requestAnimationFrame(() => {
		if (!t.isConnected) return;
		let a = new fi({
			width: t.clientWidth || 400,
			height: e.height ?? 200,
			scales: {
				x: { time: !1 },
				y: e.log ? { distr: 3 } : { range: (e, t, n) => fi.rangeNum(Math.min(t, ...s.map((e) => e.at)), Math.max(n, ...s.map((e) => e.at)), .1, !0) }
			},
			axes: [{
				...r,
				size: 30,
				values: (e, t) => t.map((e) => e.toLocaleString("en-US")),
				space: 70
			}, {
				...r,
				size: 58,
				splits: e.log ? Mi : void 0,
				values: (e, t) => t.map((e) => e === null ? "" : Y(e))
			}],
			cursor: {
				points: { size: 6 },
				sync: { key: "steps" }
			},
			legend: { live: !0 },
			series: [{
				label: "step",
				value: (e, t) => t === null ? "–" : t.toLocaleString("en-US")
			}, ...e.lines.map((t, r) => ({
				label: t.label,
				stroke: n[r % n.length],
				width: 1.75,
				dash: r >= n.length ? [6, 3] : void 0,
				points: {
					show: e.steps.length < 30,
					size: 5
				},
				value: (e, t) => i(t)
			}))],
			hooks: { draw: [(e) => {
				for (let t of s) {
					let n = e.valToPos(t.at, "y", !0), { left: r, width: i } = e.bbox;
					e.ctx.save(), e.ctx.strokeStyle = e.ctx.fillStyle = Di("--muted"), e.ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]), e.ctx.lineWidth = devicePixelRatio, e.ctx.beginPath(), e.ctx.moveTo(r, n), e.ctx.lineTo(r + i, n), e.ctx.stroke(), e.ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`, e.ctx.textAlign = "left", e.ctx.textBaseline = "middle";
					let a = e.ctx.measureText(t.text).width;
					e.ctx.fillStyle = Di("--card"), e.ctx.fillRect(r + 6 * devicePixelRatio, n - 8 * devicePixelRatio, a + 8 * devicePixelRatio, 16 * devicePixelRatio), e.ctx.fillStyle = Di("--muted"), e.ctx.fillText(t.text, r + 10 * devicePixelRatio, n), e.ctx.restore();
				}
			}] }
		}, [Array.from(e.steps), ...o], t);
		Ni.add(a);
		let c = () => a.setLegend({ idx: e.steps.length - 1 });
		a.over.addEventListener("mouseleave", () => setTimeout(c)), setTimeout(c, 50);
	}), l) : (t.append(J("p", { class: "nothing" }, e.log ? "All values are zero or not finite." : "No finite values.")), l);
}
// src/data.ts
async function Ii(e, t = {}) {
	let n = new URLSearchParams(t).toString(), r;
	try {
		r = await fetch(`./${e}${n ? "?" + n : ""}`);
	} catch {
		throw Error("TensorBoard does not answer. Is it still running?");
	}
	if (!r.ok) {
		let t = await r.json().then((e) => e.error, () => "");
		throw Error(t || `TensorBoard answered ${r.status} to ${e}.`);
	}
	return r;
}
var X = async () => (await Ii("runs")).json(), Z = async (e) => (await Ii("health", { run: e.name })).json(), Li = /* @__PURE__ */ new Map();
function Q(e, t, n = {}) {
	let r = JSON.stringify([
		e.name,
		e.wall_time,
		t,
		n
	]), i = Li.get(r);
	return i || (i = Ri(t, {
		run: e.name,
		...n
	}), i.catch(() => Li.delete(r)), Li.size >= 8 && Li.delete(Li.keys().next().value)), Li.delete(r), Li.set(r, i), i;
}
async function Ri(e, t) {
	let n = await (await Ii(e, t)).arrayBuffer(), [r, i, a] = new Uint32Array(n, 0, 3);
	return {
		steps: new Float64Array(n, 16, r),
		columns: i,
		skipped: a,
		rows: new Float32Array(n, 16 + 8 * r, r * i)
	};
}
var zi = (e, t) => Array.from(e.steps, (n, r) => e.rows[r * e.columns + t]), $ = (e) => e.rows.subarray(Math.max(0, e.rows.length - e.columns)), Bi = "p.keras_dlopt.", Vi = parent === window ? window : parent;
function Hi() {
	let e = {};
	for (let t of Vi.location.hash.slice(1).split("&")) {
		let [n, r] = t.split("=");
		try {
			n.startsWith(Bi) && (e[n.slice(14)] = decodeURIComponent(r ?? ""));
		} catch {}
	}
	return e;
}
function Ui(e) {
	let t = Vi.location.hash.slice(1).split("&").filter((e) => e && !e.startsWith(Bi));
	if (t.length && t[0] !== "keras_dlopt") return;
	let n = Object.entries(e).filter(([, e]) => e !== ""), r = [...t.length ? t : ["keras_dlopt"], ...n.map(([e, t]) => `${Bi}${e}=${encodeURIComponent(t)}`)];
	Vi.history.replaceState(Vi.history.state, "", "#" + r.join("&"));
}
// src/heatmap.ts
var Wi = 22;
function Gi(e) {
	let { rows: t, steps: n } = e, r = e.shown ?? Y, i = (t) => r(e.log ? 10 ** t : t), a = e.rowHeight ?? Math.max(1, Math.min(20, Math.floor(520 / t.length))), o = a >= 11, s = J("canvas", {
		class: "heat",
		tabindex: 0,
		role: "img",
		"aria-label": `${e.title}: ${t.length} rows, ${n.length} steps`
	}), c = J("output", { class: "readout" }, "Point at the map to read a value."), l = 0, u = (e) => {
		let r = s.getBoundingClientRect(), i = Math.floor((e.clientY - r.top) / a), o = Math.floor((e.clientX - r.left - l) / (r.width - l) * n.length);
		return i >= 0 && i < t.length && o >= 0 && o < n.length ? [i, o] : null;
	};
	s.addEventListener("mousemove", (i) => {
		let a = u(i);
		a && (c.textContent = `${t[a[0]]} · step ${vi(n[a[1]])} · ${r(e.value(...a))} ${e.unit}`);
	}), s.addEventListener("click", (t) => {
		let n = u(t);
		n && e.pick?.(...n);
	}), e.pick && s.classList.add("pick");
	let d = () => {
		let r = s.parentElement.clientWidth, i = devicePixelRatio;
		s.style.height = `${t.length * a + Wi}px`, s.width = r * i, s.height = (t.length * a + Wi) * i;
		let c = s.getContext("2d");
		c.scale(i, i), c.font = "11px system-ui, sans-serif", l = o ? Math.min(260, Math.max(...t.map((e) => c.measureText(e).width)) + 10) : 0;
		let u = new ImageData(Math.max(1, n.length), Math.max(1, t.length)), d = Array.from({ length: 256 }, (t, n) => Ai(n / 255, !!e.diverging)), f = 255 / (e.high - e.low || 1);
		for (let r = 0; r < t.length; r++) for (let t = 0; t < n.length; t++) {
			let i = e.log ? Math.log10(e.value(r, t)) : e.value(r, t);
			if (!Number.isFinite(i)) continue;
			let [a, o, s] = d[Math.max(0, Math.min(255, Math.round((i - e.low) * f)))];
			u.data.set([
				a,
				o,
				s,
				255
			], 4 * (r * n.length + t));
		}
		let p = new OffscreenCanvas(u.width, u.height);
		p.getContext("2d").putImageData(u, 0, 0), c.imageSmoothingEnabled = !1, c.fillStyle = Di("--hole"), c.fillRect(l, 0, r - l, t.length * a), c.drawImage(p, l, 0, r - l, t.length * a), c.fillStyle = Di("--text"), c.textBaseline = "middle", c.textAlign = "right", o && t.forEach((e, t) => {
			let n = e;
			for (; n.length > 4 && c.measureText(n).width > l - 8;) n = "…" + n.slice(2);
			c.fillText(n, l - 6, (t + .5) * a);
		}), c.fillStyle = Di("--muted");
		let m = Math.min(n.length, Math.max(2, Math.floor((r - l) / 110)));
		for (let e = 0; e < m; e++) {
			let i = m > 1 ? Math.round(e * (n.length - 1) / (m - 1)) : 0, o = l + (i + .5) / n.length * (r - l);
			c.textAlign = e === 0 ? "left" : e === m - 1 ? "right" : "center", c.fillText(vi(n[i]), e === 0 ? l : e === m - 1 ? r : o, t.length * a + Wi / 2 + 2);
		}
		if (e.mark !== void 0) {
			c.strokeStyle = Di("--accent"), c.lineWidth = 2;
			let i = (r - l) / n.length;
			c.strokeRect(l + e.mark * i, 1, Math.max(i, 2), t.length * a - 2);
		}
	};
	requestAnimationFrame(() => s.isConnected && d()), new ResizeObserver(() => s.isConnected && Math.abs(s.width / devicePixelRatio - s.parentElement.clientWidth) > 1 && d()).observe(s);
	let f = Array.from({ length: 9 }, (t, n) => `rgb(${Ai(n / 8, !!e.diverging).join(" ")})`), p = J("span", { class: "ramp" });
	return p.style.background = `linear-gradient(to right, ${f.join(", ")})`, J("figure", {
		class: "card",
		"data-map": e.name
	}, J("figcaption", {}, J("h3", {}, e.title), J("span", { class: "scale" }, i(e.low), p, i(e.high)), J("span", { class: "tools" }, mi("CSV", () => gi(e.name, ["step", ...t], Array.from(n, (n, r) => [n, ...t.map((t, n) => e.value(n, r))])), "Download the values"), mi("PNG", () => _i(e.name, s), "Download the picture"))), J("div", { class: "canvas" }, s), c);
}
function Ki(e, t) {
	let n = Float64Array.from((t ? e.map(Math.log10) : e).filter(Number.isFinite)).sort();
	if (!n.length) return [0, 1];
	let r = n[Math.floor(.01 * (n.length - 1))], i = n[Math.ceil(.99 * (n.length - 1))];
	return r < i ? [r, i] : [r - .5, r + .5];
}
// src/layers.ts
var qi = [
	"model order",
	"name",
	"largest value",
	"smallest value",
	"size"
];
function Ji({ run: e, state: t }, n) {
	let r = e.layout, i = (t.search ?? "").toLowerCase(), a = r.variables.flatMap((e, t) => e.toLowerCase().includes(i) ? [t] : []), o = (e) => r.shapes[e].reduce((e, t) => e * t, 1), s = (e, t) => Number.isFinite(n(e)) ? t * n(e) : Infinity;
	return t.sort === "name" && a.sort((e, t) => r.variables[e].localeCompare(r.variables[t])), t.sort === "largest value" && a.sort((e, t) => s(e, -1) - s(t, -1)), t.sort === "smallest value" && a.sort((e, t) => s(e, 1) - s(t, 1)), t.sort === "size" && a.sort((e, t) => o(t) - o(e)), a;
}
function Yi({ state: e, go: t }, n) {
	let r = 0, i = J("input", {
		id: "search",
		type: "search",
		placeholder: "Search layers (/)",
		value: e.search ?? "",
		"aria-label": "Search layers",
		input: () => {
			clearTimeout(r), r = setTimeout(() => t({ search: i.value }), 250);
		}
	});
	return [
		i,
		pi("Sort", qi, e.sort ?? qi[0], (e) => t({ sort: e }), "sort"),
		J("span", {
			class: "count",
			id: "count"
		}, `${n} layer${n === 1 ? "" : "s"}`)
	];
}
function Xi({ run: e, state: t }) {
	return Math.max(0, e.layout.variables.indexOf(t.layer ?? ""));
}
function Zi(e) {
	let t = e.run.layout.variables, n = J("datalist", { id: "layers" }, ...t.slice(0, 2e3).map((e) => J("option", { value: e }))), r = J("input", {
		id: "search",
		type: "search",
		list: "layers",
		value: t[Xi(e)],
		"aria-label": "Layer",
		focus: () => r.select(),
		change: () => {
			let n = t.find((e) => e === r.value) ?? t.find((e) => e.toLowerCase().includes(r.value.toLowerCase()));
			n !== void 0 && e.go({ layer: n });
		}
	}), i = (n) => () => {
		let r = t[Xi(e) + n];
		r !== void 0 && e.go({ layer: r });
	};
	return J("span", { class: "layerpick" }, J("label", { class: "field" }, J("span", {}, "Layer"), r), n, J("button", {
		type: "button",
		title: "Previous layer (k)",
		click: i(-1)
	}, "‹"), J("button", {
		type: "button",
		title: "Next layer (j)",
		click: i(1)
	}, "›"));
}
// src/messages.ts
var Qi = () => J("div", {
	class: "message",
	id: "loading"
}, J("p", {}, "Reading records …")), $i = () => J("div", {
	class: "message",
	id: "empty"
}, J("h2", {}, "No optimizer records here yet"), J("p", {}, "Add one line to training, and open TensorBoard on its folder:"), J("pre", {}, "model.fit(..., callbacks=[keras_dlopt.callbacks.RecordOptimizer(\"logs\", every=100)])\n\ntensorboard --logdir logs"), J("p", {}, "The first record appears within seconds of the first step. If there are event files already, TensorBoard may not be able to read them: look at what it printed.")), ea = (e) => J("div", {
	class: "message",
	id: "failed",
	role: "alert"
}, J("h2", {}, "These records cannot be shown"), J("p", {}, e instanceof Error ? e.message : String(e)), J("p", {}, "The other runs and screens still work; this one is tried again when its files change."));
function ta(e) {
	return e ? J("p", {
		class: "warning",
		id: "skipped"
	}, `${e} record${e > 1 ? "s" : ""} left out: damaged, or of another model. Give each model a folder of its own.`) : null;
}
// src/screens/map.ts
var na = /* @__PURE__ */ new Set([
	"ratio",
	"gradient_zeros",
	"gradient_nonfinite",
	"weight_zeros",
	"mask_changes"
]), ra = (e) => na.has(e) || e.endsWith("_mean") && e !== "v_mean";
async function ia(e) {
	let { run: t, state: n, go: r } = e, i = t.layout, a = i.stats.includes(n.stat) ? n.stat : i.stats[0], o = await Q(t, "stat", { stat: a }), s = !ra(a), c = $(o), l = Ji(e, (e) => c[e]), u = (e, t) => o.rows[t * o.columns + l[e]], d = Math.max(1, Math.floor(o.rows.length / 2e5)), f = [];
	for (let e = 0; e < o.rows.length; e += d) f.push(o.rows[e]);
	let [p, m] = Ki(f, s);
	return [
		J("section", { class: "bar" }, pi("Statistic", i.stats, a, (e) => r({ stat: e }), "stat", xi), ...Yi(e, l.length)),
		ta(o.skipped),
		l.length ? Gi({
			name: `map_${a}`,
			title: xi(a),
			steps: o.steps,
			rows: l.map((e) => i.variables[e]),
			value: u,
			low: p,
			high: m,
			log: s,
			unit: "",
			pick: (e) => r({
				screen: "detail",
				layer: i.variables[l[e]]
			})
		}) : J("p", { class: "nothing" }, "No layer's name contains this. Clear the search to see all."),
		J("p", { class: "hint" }, "Click a row for its lines. Blank cells are zero or not finite.")
	].filter((e) => e !== null);
}
// src/screens/compare.ts
var aa = 8;
async function oa(e) {
	let { run: t, runs: n, state: r, go: i } = e, a = t.layout, o = n.filter((e) => e !== t && e.layout);
	if (!o.length) return [J("div", {
		class: "message",
		id: "alone"
	}, J("h2", {}, "There is one run only"), J("p", {}, "Record another one into a folder beside it, and start TensorBoard on the folder of both:"), J("pre", {}, "RecordOptimizer(\"logs/adam\")\nRecordOptimizer(\"logs/lion\")\n\ntensorboard --logdir logs"))];
	let s = a.stats.includes(r.stat) ? r.stat : a.stats[0], c = a.variables[Xi(e)], l = o.find((e) => e.name === r.other) ?? o.find((e) => e.layout.variables.includes(c)) ?? o[0], u = !ra(s), d = [t, ...o].filter((e) => e.layout.variables.includes(c) && e.layout.stats.includes(s)).slice(0, aa), f = await Promise.all(d.map((e) => Q(e, "stat", { stat: s }))), p = [...new Set(f.flatMap((e) => Array.from(e.steps)))].sort((e, t) => e - t), m = d.map((e, t) => {
		let n = zi(f[t], e.layout.variables.indexOf(c)), r = new Map(Array.from(f[t].steps, (e, t) => [e, n[t]]));
		return {
			label: e.name,
			values: p.map((e) => r.get(e) ?? NaN)
		};
	}), h = l.layout.stats.includes(s) ? await sa(e, t, l, s, u) : J("p", { class: "nothing" }, `${l.name} has not recorded ${xi(s)}.`);
	return [
		J("section", { class: "bar" }, pi("Statistic", a.stats, s, (e) => i({ stat: e }), "stat", xi), Zi(e)),
		Fi({
			name: `compare_${s}`,
			title: `${xi(s)} of ${c}`,
			steps: p,
			lines: m,
			log: u,
			marks: s === "ratio" ? [{
				at: -3,
				text: "−3: rule of thumb"
			}] : [],
			height: 240
		}),
		J("section", { class: "bar" }, pi("Difference to", o.map((e) => e.name), l.name, (e) => i({ other: e }), "other"), ...Yi(e, 0).slice(1, 2)),
		h,
		J("p", { class: "hint" }, `Steps and layers that both runs have. Blue: larger in ${l.name}; orange: larger in ${t.name}.`)
	];
}
async function sa(e, t, n, r, i) {
	let [a, o] = await Promise.all([Q(t, "stat", { stat: r }), Q(n, "stat", { stat: r })]), s = new Map(Array.from(o.steps, (e, t) => [e, t])), c = Array.from(a.steps, (e, t) => [
		e,
		t,
		s.get(e)
	]).filter((e) => e[2] !== void 0), l = n.layout.variables, u = t.layout.variables.map((e, t) => [
		e,
		t,
		l.indexOf(e)
	]).filter((e) => e[2] >= 0);
	if (!c.length || !u.length) return J("p", { class: "nothing" }, "The two runs have no step and layer in common.");
	let d = (e, t) => {
		let n = a.rows[c[t][1] * a.columns + u[e][1]], r = o.rows[c[t][2] * o.columns + u[e][2]];
		return i ? n / r : n - r;
	};
	e.state.sort === "name" && u.sort((e, t) => e[0].localeCompare(t[0]));
	let f = (e) => {
		let t = new Map(u.map((e, t) => [e, d(t, c.length - 1)])), n = (e) => Number.isNaN(t.get(e)) ? Number(i) : t.get(e);
		u.sort((t, r) => e * (n(t) - n(r)));
	};
	e.state.sort === "largest value" && f(-1), e.state.sort === "smallest value" && f(1);
	let [p, m] = Ki(u.flatMap((e, t) => c.map((e, n) => d(t, n)).filter((e, t) => t % Math.ceil(u.length * c.length / 2e5) === 0)), i), h = Math.max(Math.abs(p), Math.abs(m), 1e-12);
	return Gi({
		name: `difference_${r}`,
		title: `${xi(r)}: ${t.name} ${i ? "/" : "−"} ${n.name}`,
		steps: c.map((e) => e[0]),
		rows: u.map((e) => e[0]),
		value: d,
		low: -h,
		high: h,
		log: i,
		diverging: !0,
		unit: "",
		shown: (e) => i ? `× ${Y(e)}` : Y(e),
		pick: (t) => e.go({ layer: u[t][0] })
	});
}
// src/screens/detail.ts
async function ca(e) {
	let { run: t } = e, n = t.layout, r = Xi(e), i = (e) => n.stats.includes(e), a = await Promise.all(n.stats.map((e) => Q(t, "stat", { stat: e }))), o = new Map(n.stats.map((e, t) => [e, a[t]])), s = a.reduce((e, t) => e.steps.length <= t.steps.length ? e : t).steps, c = (e) => ({
		label: xi(e),
		values: zi(o.get(e), r).slice(0, s.length)
	}), l = (e) => e.filter(i).map(c), u = n.stats.filter((e) => e.endsWith("_norm") && ![
		"gradient_norm",
		"update_norm",
		"weight_norm"
	].includes(e)), d = l(["effective_rate", "trust_ratio"]), f = n.stats.filter((e) => e.endsWith("_mean")), p = (e, t, n, r = !0, i = []) => n.length ? Fi({
		name: e,
		title: t,
		steps: s,
		lines: n,
		log: r,
		marks: i
	}) : null;
	return [
		J("section", { class: "bar" }, Zi(e), J("span", { class: "count" }, `${n.shapes[r].join(" × ") || "scalar"} · ${vi(n.shapes[r].reduce((e, t) => e * t, 1))} parameters · ${vi(s.length)} records`)),
		ta(Math.max(...a.map((e) => e.skipped))),
		J("section", { class: "two" }, ...[
			p("ratio", "How far each update moves the weights", l(["ratio"]), !1, [{
				at: -3,
				text: "−3: rule of thumb"
			}]),
			p("norms", "Norms", l([
				"gradient_norm",
				"update_norm",
				"weight_norm",
				"gradient_max"
			])),
			p("slots", "Norms of the optimizer's state", u.map(c)),
			p("rates", "Rates", d),
			p("shares", "Shares of elements", l([
				"weight_zeros",
				"gradient_zeros",
				"mask_changes",
				"gradient_nonfinite"
			]), !1),
			p("means", "Means of the optimizer's state", f.map(c), !1)
		].filter((e) => e !== null)),
		J("details", {
			class: "card",
			open: !0
		}, J("summary", {}, `Last record, step ${vi(s[s.length - 1] ?? 0)}`), J("table", { class: "values" }, J("tbody", {}, ...n.stats.map((e) => J("tr", {}, J("th", { scope: "row" }, xi(e)), J("td", { "data-stat": e }, Y($(o.get(e))[r])))))))
	].filter((e) => e !== null);
}
// src/screens/distributions.ts
var la = {
	gradient: "gradient",
	update: "update",
	m: "first moment m",
	v: "second moment v"
};
async function ua(e) {
	let { run: t, state: n, go: r } = e, i = t.layout, a = Xi(e), o = i.histograms.includes(n.of) ? n.of : i.histograms[0], s = await Q(t, "histogram", {
		of: o,
		variable: String(a)
	}), c = i.edges[o], l = (e) => e === 0 ? "0" : e === s.columns - 1 ? "not finite" : e === 1 ? `< ${Y(c[0])}` : e === s.columns - 2 ? `≥ ${Y(c[c.length - 1])}` : `${Y(c[e - 2])} – ${Y(c[e - 1])}`, u = Number(n.step ?? NaN), d = s.steps.length - 1;
	Number.isFinite(u) && s.steps.forEach((e, t) => {
		Math.abs(e - u) < Math.abs(s.steps[d] - u) && (d = t);
	});
	let f = Array.from({ length: s.columns }, (e, t) => t).filter((e) => {
		for (let t = 0; t < s.steps.length; t++) if (s.rows[t * s.columns + e] > 0) return !0;
		return !1;
	}), p = f.filter((e) => e > 0 && e < s.columns - 1), m = [
		...f.includes(0) ? [0] : [],
		...p.length ? Array.from({ length: p[p.length - 1] - p[0] + 1 }, (e, t) => p[0] + t) : [],
		...f.includes(s.columns - 1) ? [s.columns - 1] : []
	], h = [...m].reverse(), g = (e, t) => s.rows[t * s.columns + h[e]] || NaN, _ = J("div", {
		class: "bars",
		id: "bars"
	}), v = J("h3", {}), y = J("input", {
		type: "range",
		id: "step",
		min: 0,
		max: Math.max(0, s.steps.length - 1),
		value: d,
		"aria-label": "Step",
		input: () => {
			d = Number(y.value), b();
		},
		change: () => r({ step: String(s.steps[d]) })
	}), b = () => {
		let e = m.map((e) => s.rows[d * s.columns + e] ?? 0), t = Math.max(...e, 1e-9);
		v.textContent = `Step ${vi(s.steps[d] ?? 0)}`, _.replaceChildren(...m.map((n, r) => {
			let i = J("span", { class: "fill" });
			return i.style.height = `${100 * e[r] / t}%`, i.style.background = n === 0 || n === s.columns - 1 ? Ei()[1] : Ei()[0], J("div", {
				class: "column",
				title: `${l(n)}: ${Y(100 * e[r])} %`,
				"data-share": e[r]
			}, i, J("small", {}, n === 0 ? "0" : n === s.columns - 1 ? "NaN, ∞" : r % Math.ceil(m.length / 12) === 0 ? Y(c[Math.max(0, n - 2)]) : ""));
		}));
	};
	b();
	let x = i.variables[a];
	return [
		J("section", { class: "bar" }, Zi(e), pi("Of", i.histograms, o, (e) => r({ of: e }), "of")),
		ta(s.skipped),
		s.steps.length && h.length ? Gi({
			name: `distribution_${o}`,
			title: `Magnitudes of the ${la[o] ?? o} over time`,
			steps: s.steps,
			rows: h.map(l),
			value: g,
			low: 0,
			high: Math.max(...Array.from({ length: 64 }, (e, t) => s.rows[Math.floor(t / 64 * s.rows.length)]), .25),
			unit: "of the elements",
			rowHeight: Math.max(12, Math.min(20, Math.floor(300 / h.length))),
			shown: (e) => `${Y(100 * e)} %`,
			mark: d,
			pick: (e, t) => r({ step: String(s.steps[t]) })
		}) : J("p", { class: "nothing" }, "No histogram was recorded of this layer."),
		J("figure", { class: "card" }, J("figcaption", {}, v, J("span", { class: "tools" }, mi("CSV", () => gi(`distribution_${o}_${x}`, ["magnitude", "share"], m.map((e) => [l(e), s.rows[d * s.columns + e]])), "Download this step's shares"))), _, J("label", { class: "slider" }, J("span", {}, "step"), y)),
		J("p", { class: "hint" }, "Bins are powers of two. Shares come from an evenly spread sample of at least 1,024 elements. Drag the slider, or use ← and → on it.")
	].filter((e) => e !== null);
}
// src/screens/memory.ts
var da = 20;
async function fa({ run: e, state: t, go: n }) {
	let r = e.layout, i = r.state.reduce((e, t) => e + t.bytes, 0), a = [...new Set(r.state.map((e) => e.slot))], o = (e) => {
		let t = /* @__PURE__ */ new Map();
		for (let n of r.state) t.set(e(n), (t.get(e(n)) ?? 0) + n.bytes);
		return [...t].sort((e, t) => t[1] - e[1]);
	}, s = (e) => Ei()[a.indexOf(e) % Ei().length], c = (e, t, n, r, a) => {
		let o = n[0]?.[1] ?? 1;
		return J("figure", {
			class: "card",
			"data-bytes": e
		}, J("figcaption", {}, J("h3", {}, t), J("span", { class: "tools" }, mi("CSV", () => gi(`state_by_${e}`, [e, "bytes"], n), "Download the values"))), J("table", { class: "sums" }, J("tbody", {}, ...n.slice(0, da).map(([e, t]) => {
			let n = J("span", { class: "fill" });
			return n.style.width = `${100 * t / o}%`, n.style.background = r(e), J("tr", {}, J("th", { scope: "row" }, a ? J("button", {
				class: "link",
				type: "button",
				click: () => a(e)
			}, e) : e), J("td", { class: "track" }, n), J("td", {
				"data-sum": e,
				title: `${t} bytes`
			}, yi(t)), J("td", { class: "share" }, `${Y(100 * t / (i || 1))} %`));
		}))), n.length > da ? J("small", {}, `the largest ${da} of ${n.length}; the CSV has all`) : null);
	}, l = (e) => e === null ? "(all layers)" : r.variables[e], u = i ? [J("section", { class: "two" }, c("slot", `State by slot: ${yi(i)}`, o((e) => e.slot), s), c("dtype", "State by dtype", o((e) => e.dtype), () => Ei()[2])), c("layer", "State by layer", o((e) => l(e.variable)), () => Ei()[0], (e) => r.variables.includes(e) && n({
		screen: "detail",
		layer: e
	}))] : [J("p", { class: "nothing" }, `${r.optimizer} keeps no state.`)];
	if (!r.ranges.length) return [...u, J("p", {
		class: "hint",
		id: "unquantized"
	}, "Ranges of fake quantization appear here for models of compress.quantize_aware.")].filter((e) => e !== null);
	let d = await Q(e, "ranges"), f = $(d), p = Math.max(0, r.ranges.indexOf(t.range ?? "")), m = (e) => Array.from(d.steps, (t, n) => d.rows[n * d.columns + 3 * p + e]);
	return [...u, J("section", { class: "two" }, J("figure", { class: "card" }, J("figcaption", {}, J("h3", {}, "Quantization ranges")), J("table", { class: "ranges" }, J("thead", {}, J("tr", {}, ...[
		"layer",
		"low",
		"high",
		"outside"
	].map((e) => J("th", { scope: "col" }, e)))), J("tbody", {}, ...r.ranges.map((e, t) => J("tr", { class: t === p ? "chosen" : void 0 }, J("th", { scope: "row" }, J("button", {
		class: "link",
		type: "button",
		click: () => n({ range: e })
	}, e)), J("td", {}, Y(f[3 * t])), J("td", {}, Y(f[3 * t + 1])), J("td", { "data-outside": e }, `${Y(100 * f[3 * t + 2])} %`)))))), J("div", {}, Fi({
		name: "range",
		title: `Range of ${r.ranges[p]}`,
		steps: d.steps,
		lines: [{
			label: "low",
			values: m(0)
		}, {
			label: "high",
			values: m(1)
		}]
	}), Fi({
		name: "outside",
		title: "Share of values outside (saturated)",
		steps: d.steps,
		lines: [{
			label: "outside",
			values: m(2)
		}],
		height: 150
	})))].filter((e) => e !== null);
}
// src/screens/overview.ts
var pa = 4;
async function ma({ run: e, go: t }) {
	let n = e.layout, r = await Q(e, "globals"), i = (e) => zi(r, n.globals.indexOf(e)), a = $(r), o = (e) => a[n.globals.indexOf(e)], s = n.state.reduce((e, t) => e + t.bytes, 0), c = n.shapes.reduce((e, t) => e + t.reduce((e, t) => e * t, 1), 0), l = o("dropped"), u = (e, t, n = "") => J("div", { class: "tile" }, J("span", {}, e), J("strong", { "data-value": e }, t), J("small", {}, n)), d = (e) => {
		let { level: r, variables: i } = e, a = i.slice(0, pa).map((r, i) => {
			let a = n.variables[r];
			return J("li", {}, J("button", {
				class: "link",
				type: "button",
				click: () => t({
					screen: "detail",
					layer: a
				})
			}, a), J("span", { class: "value" }, Y(e.values[i])));
		});
		return J("article", {
			class: `finding ${r}`,
			"data-rule": e.rule
		}, J("h3", {}, J("span", { class: "badge" }, r === "red" ? "✕ fix" : "! look"), e.title), J("p", {}, e.advice), J("ul", {}, ...a), i.length > pa ? J("button", {
			class: "link",
			type: "button",
			click: () => t({
				screen: "map",
				stat: e.stat,
				search: ""
			})
		}, `and ${i.length - pa} more, on the map`) : null, J("small", {}, `${xi(e.stat)}, step ${vi(e.step)}`));
	}, f = (e, t, n) => Fi({
		name: e,
		title: t,
		steps: r.steps,
		lines: [{
			label: t,
			values: i(e)
		}],
		log: n,
		height: 170
	}), p = J("div", { class: "tile" }, J("span", {}, "health"), J("strong", {}, "…"), J("small", {}, "checking all layers")), m = J("section", { class: "findings" });
	return Z(e).then((e) => {
		let [t, n] = ["red", "amber"].map((t) => e.filter((e) => e.level === t).length), r = t ? `${t} to fix` : n ? `${n} to look at` : "Looks healthy";
		p.replaceChildren(...u("health", r, e.length ? "see the cards" : "no check found anything").childNodes), e.length ? m.replaceChildren(...e.map(d)) : m.replaceWith(J("p", {
			class: "fine",
			id: "fine"
		}, "✓ All gradients are finite and alive, no norm explodes, and updates are within 1e-5 to 1e-1 of the weights."));
	}, (e) => m.replaceChildren(ea(e))), [
		J("section", { class: "tiles" }, p, u("learning rate", Y(o("learning_rate")), n.optimizer), u("gradient norm", Y(o("gradient_norm")), Number.isNaN(o("clipped")) ? "not clipped" : `clipped share ${Y(o("clipped"))}`), u("update / weight", Y(o("update_ratio")), "rule of thumb: 0.001"), u("records", vi(r.steps.length), `every ${vi(n.every)} updates${Number.isFinite(o("loss_scale")) ? `, loss scale ${Y(o("loss_scale"))}` : ""}`), u("state", yi(s), `${vi(n.variables.length)} variables, ${Y(s / c)} bytes a parameter`)),
		ta(r.skipped),
		l > 0 ? J("p", {
			class: "warning",
			id: "dropped"
		}, `${vi(l)} records were dropped: the disk was slower than training. Record less often.`) : null,
		m,
		J("section", { class: "three" }, f("gradient_norm", "gradient norm", !0), f("update_ratio", "update / weight", !0), f("learning_rate", "learning rate", !1))
	].filter((e) => e !== null);
}
// src/style.css?inline
var ha = ":root{--page:#f6f7f9;--card:#fff;--text:#1c2530;--muted:#5c6773;--grid:#e4e8ec;--line:#d5dbe1;--hole:#eceff2;--accent:#0060a8;--red:#b3261e;--red-soft:#fdecea;--amber:#8a5a00;--amber-soft:#fff5df;--green:#00694f;--green-soft:#e3f5ef;--lightningcss-light:initial;--lightningcss-dark: ;color-scheme:light}:root[data-theme=dark]{--page:#1b1f24;--card:#252a31;--text:#e8ecf0;--muted:#a3adb8;--grid:#343b44;--line:#3f4852;--hole:#1f242a;--accent:#7cc0f0;--red:#ff9d94;--red-soft:#43211f;--amber:#f3c15f;--amber-soft:#3d3019;--green:#66d6b0;--green-soft:#173a30;--lightningcss-light: ;--lightningcss-dark:initial;color-scheme:dark}*{box-sizing:border-box}body{background:var(--page);color:var(--text);margin:0;font:13px/1.45 system-ui,-apple-system,Segoe UI,Roboto,sans-serif}h1,h2,h3,p,figure,ul{margin:0}h1{font-size:15px;font-weight:650}h2{font-size:17px;font-weight:600}h3{overflow-wrap:anywhere;font-size:13px;font-weight:600}header{z-index:5;background:var(--card);border-bottom:1px solid var(--line);flex-wrap:wrap;align-items:center;gap:6px 14px;padding:8px 20px;display:flex;position:sticky;top:0}nav{flex-wrap:wrap;gap:2px;display:flex}.spring{flex:1}.status,.count,.hint,small{color:var(--muted)}.status,.count{white-space:nowrap;font-variant-numeric:tabular-nums}main{grid-template-columns:minmax(0,1fr);gap:14px;max-width:1500px;margin:0 auto;padding:16px 20px 40px;display:grid}button,select,input{font:inherit;color:inherit}button{cursor:pointer;border:1px solid var(--line);background:var(--card);border-radius:5px;padding:4px 9px}button:hover{border-color:var(--accent)}nav button{background:0 0;border-color:#0000;padding:5px 10px}nav button[aria-selected=true]{background:var(--accent);color:var(--card);font-weight:600}button.link{color:var(--accent);text-align:left;overflow-wrap:anywhere;background:0 0;border:0;padding:0}button.link:hover{text-decoration:underline}:focus-visible{outline:2px solid var(--accent);outline-offset:2px}select,input[type=search]{border:1px solid var(--line);background:var(--card);border-radius:5px;max-width:320px;padding:4px 8px}input[type=search]{width:260px}.field{align-items:center;gap:6px;display:inline-flex}.field>span{color:var(--muted)}.bar{flex-wrap:wrap;align-items:center;gap:8px 16px;display:flex}.layerpick{align-items:center;gap:6px;display:inline-flex}.card,.tile,.finding,.message{background:var(--card);border:1px solid var(--line);border-radius:8px}.card{min-width:0;padding:12px 14px}figcaption{flex-wrap:wrap;align-items:center;gap:4px 12px;margin-bottom:8px;display:flex}figcaption h3{flex:1;min-width:8em}.tools{gap:4px;display:inline-flex}.tools button{color:var(--muted);padding:1px 7px;font-size:11px}.tiles{grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px;display:grid}.tile{gap:1px;padding:10px 14px;display:grid}.tile span{color:var(--muted)}.tile strong{font-variant-numeric:tabular-nums;font-size:20px;font-weight:600}.findings{grid-template-columns:repeat(auto-fill,minmax(290px,1fr));gap:12px;display:grid}.finding{border-left-width:4px;align-content:start;gap:6px;padding:12px 14px;display:grid}.finding.red{border-left-color:var(--red)}.finding.amber{border-left-color:var(--amber)}.finding ul{gap:2px;padding:0;list-style:none;display:grid}.finding li{justify-content:space-between;gap:10px;display:flex}.finding .value{font-variant-numeric:tabular-nums;color:var(--muted);white-space:nowrap}.badge{border-radius:9px;margin-right:8px;padding:0 7px;font-size:11px;font-weight:600;display:inline-block}.red .badge{background:var(--red-soft);color:var(--red)}.amber .badge{background:var(--amber-soft);color:var(--amber)}.fine,.warning{border-radius:8px;padding:9px 14px}.fine{background:var(--green-soft);color:var(--green)}.warning{background:var(--amber-soft);color:var(--amber)}.two,.three{grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));align-items:start;gap:14px;display:grid}.three{grid-template-columns:repeat(auto-fit,minmax(min(320px,100%),1fr))}.plot{min-height:60px}.nothing{color:var(--muted);text-align:center;padding:24px}.message{gap:10px;max-width:720px;margin:24px auto;padding:28px 32px;display:grid}.message pre{background:var(--page);border-radius:6px;margin:0;padding:12px 14px;overflow-x:auto}.canvas{width:100%}.heat{width:100%;display:block}.heat.pick{cursor:pointer}.readout{min-height:1.45em;color:var(--muted);font-variant-numeric:tabular-nums;overflow-wrap:anywhere;margin-top:6px;display:block}.scale{color:var(--muted);font-variant-numeric:tabular-nums;align-items:center;gap:7px;display:inline-flex}.ramp{border-radius:3px;width:130px;height:10px}.bars{gap:2px;height:150px;display:flex}.column{flex-direction:column;flex:1;justify-content:flex-end;min-width:0;display:flex}.column .fill{border-radius:2px 2px 0 0;min-height:1px;display:block}.column small{text-align:center;white-space:nowrap;height:20px;font-size:10px;overflow:visible}.slider{color:var(--muted);align-items:center;gap:10px;margin-top:6px;display:flex}.slider input{accent-color:var(--accent);flex:1}table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%}th{text-align:left;font-weight:400}td{text-align:right;white-space:nowrap}.values tbody{columns:3 260px;margin-top:8px;display:block}.values tr{border-bottom:1px solid var(--grid);break-inside:avoid;justify-content:space-between;gap:12px;padding:3px 0;display:flex}.values th{color:var(--muted)}summary{cursor:pointer;font-weight:600}.sums th{overflow-wrap:anywhere;width:34%;padding:3px 10px 3px 0}.sums td{width:1%;padding:3px 0 3px 10px}.sums td.track{width:auto;padding:0}.sums .fill{border-radius:2px;min-width:1px;height:13px;display:block}.share{color:var(--muted);min-width:62px}.ranges th,.ranges td{border-bottom:1px solid var(--grid);padding:3px 8px}.ranges thead th{color:var(--muted)}.ranges thead th:not(:first-child){text-align:right}.ranges .chosen{background:var(--page)}.u-legend{text-align:left;color:var(--muted);margin-top:2px;font-size:12px}.u-legend .u-marker{width:12px;height:3px}.u-legend .u-value{font-variant-numeric:tabular-nums;color:var(--text)}", ga = {
	overview: ["Overview", ma],
	map: ["Layer map", ia],
	detail: ["Layer detail", ca],
	distributions: ["Distributions", ua],
	compare: ["Compare", oa],
	memory: ["State & memory", fa]
}, _a = 5e3;
async function va() {
	let e = new CSSStyleSheet();
	e.replaceSync(".uplot,.uplot *,.uplot :before,.uplot :after{box-sizing:border-box}.uplot{width:min-content;font-family:system-ui,-apple-system,Segoe UI,Roboto,Helvetica Neue,Arial,Noto Sans,sans-serif,Apple Color Emoji,Segoe UI Emoji,Segoe UI Symbol,Noto Color Emoji;line-height:1.5}.u-title{text-align:center;font-size:18px;font-weight:700}.u-wrap{-webkit-user-select:none;user-select:none;position:relative}.u-over,.u-under{position:absolute}.u-under{overflow:hidden}.uplot canvas{width:100%;height:100%;display:block;position:relative}.u-axis{position:absolute}.u-legend{text-align:center;margin:auto;font-size:14px}.u-inline{display:block}.u-inline *{display:inline-block}.u-inline tr{margin-right:16px}.u-legend th{font-weight:600}.u-legend th>*{vertical-align:middle;display:inline-block}.u-legend .u-marker{width:1em;height:1em;margin-right:4px;background-clip:padding-box!important}.u-inline.u-live th:after{content:\":\";vertical-align:middle}.u-inline:not(.u-live) .u-value{display:none}.u-series>*{padding:4px}.u-series th{cursor:pointer}.u-legend .u-off>*{opacity:.3}.u-select{pointer-events:none;background:#00000012;position:absolute}.u-cursor-x,.u-cursor-y{pointer-events:none;will-change:transform;position:absolute;top:0;left:0}.u-hz .u-cursor-x,.u-vt .u-cursor-y{border-right:1px dashed #607d8b;height:100%}.u-hz .u-cursor-y,.u-vt .u-cursor-x{border-bottom:1px dashed #607d8b;width:100%}.u-cursor-pt{pointer-events:none;will-change:transform;border:0 solid;border-radius:50%;position:absolute;top:0;left:0;background-clip:padding-box!important}.u-axis.u-off,.u-select.u-off,.u-cursor-x.u-off,.u-cursor-y.u-off,.u-cursor-pt.u-off{display:none}" + ha), document.adoptedStyleSheets = [e], document.documentElement.lang = "en";
	let t = J("header", {}), n = J("main", { "aria-live": "polite" });
	document.body.append(t, n);
	let r = [], i = Hi(), a = 0, o = null, s = (e) => {
		i = {
			...i,
			...e
		}, Ui(i), u();
	}, c = () => r.find((e) => e.name === i.run) ?? r[0];
	function l() {
		let e = c(), n = [
			J("h1", {}, "Optimizer"),
			J("nav", { role: "tablist" }, ...Object.entries(ga).map(([e, [t]], n) => J("button", {
				role: "tab",
				type: "button",
				"data-screen": e,
				"aria-selected": e === (i.screen ?? "overview") ? "true" : "false",
				title: `${t} (${n + 1})`,
				click: () => s({ screen: e })
			}, t))),
			J("span", { class: "spring" }),
			r.length > 1 ? pi("Run", r.map((e) => e.name), e?.name ?? "", (e) => s({ run: e }), "run") : null,
			e ? J("span", {
				class: "status",
				id: "status",
				title: (/* @__PURE__ */ new Date(e.wall_time * 1e3)).toLocaleString()
			}, `step ${vi(e.last)} · ${Si(e.wall_time)}`) : null
		];
		t.replaceChildren(...n.filter((e) => e !== null));
	}
	async function u() {
		let e = ++a;
		l();
		let t = c();
		if (o) return n.replaceChildren(ea(o));
		if (!t) return n.replaceChildren($i());
		if (!t.layout) return n.replaceChildren(ea(Error(t.problem)));
		let u = i.screen ?? "overview", d = setTimeout(() => e === a && n.replaceChildren(Qi()), 250), f = document.activeElement?.id;
		try {
			let o = await (ga[u] ?? ga.overview)[1]({
				run: t,
				runs: r,
				state: i,
				go: s
			});
			if (e !== a) return;
			Pi(), n.replaceChildren(...o);
		} catch (t) {
			e === a && n.replaceChildren(ea(t));
		} finally {
			clearTimeout(d);
		}
		f && document.getElementById(f)?.focus(), document.body.dataset.drawn = String(e);
	}
	async function d() {
		let e = JSON.stringify([o && String(o), r.map((e) => [
			e.name,
			e.wall_time,
			e.last,
			e.problem
		])]);
		try {
			r = await X(), o = null;
		} catch (e) {
			o = e;
		}
		JSON.stringify([o && String(o), r.map((e) => [
			e.name,
			e.wall_time,
			e.last,
			e.problem
		])]) === e ? l() : await u();
	}
	document.addEventListener("keydown", (e) => {
		let t = e.target instanceof Element && e.target.matches("input[type=search], select");
		if (e.ctrlKey || e.metaKey || e.altKey || t && e.key !== "Escape") return;
		let n = Object.keys(ga);
		if (e.key >= "1" && e.key <= String(n.length)) s({ screen: n[Number(e.key) - 1] });
		else if (e.key === "/") document.getElementById("search")?.focus();
		else if (e.key === "Escape") e.target.blur();
		else if (e.key === "j" || e.key === "k") {
			let t = c()?.layout?.variables ?? [], n = t[Math.max(0, t.indexOf(i.layer ?? "")) + (e.key === "j" ? 1 : -1)];
			n !== void 0 && s({ layer: n });
		} else return;
		e.preventDefault();
	}), (parent === window ? window : parent).addEventListener("hashchange", () => {
		let e = Hi();
		Object.keys(e).length && JSON.stringify(e) !== JSON.stringify(i) && (i = e, u());
	}), ji(() => void (r.length && u())), n.append(Qi()), window.focus(), await d(), await u();
	let f = async () => {
		document.hidden || await d(), setTimeout(f, _a);
	};
	setTimeout(f, _a);
}
export { va as render };
