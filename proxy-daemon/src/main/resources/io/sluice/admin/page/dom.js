// Elements: descriptions of elements, and the update of the document to match them.
//
// Strings become text nodes and attribute values, never markup, because most of them come from the API.

const SVG = 'http://www.w3.org/2000/svg';
const SVG_TAGS = new Set(['svg', 'path', 'rect']);

/** Describes an element: h('td.number', {title: 'x'}, 'text', h('b', {}, 'y')). */
export function h(name, props, ...children) {
  const [tag, ...classes] = name.split('.');
  if (props.class) {
    classes.push(props.class);
  }
  return {tag, props: classes.length > 0 ? {...props, class: classes.join(' ')} : props, children};
}

/**
 * Makes the children of an element match their descriptions. Existing elements are changed, not replaced, so that
 * focus, selection and scroll positions survive an update. Children with the property 'key' are matched by it. Arrays
 * of children are flattened; null and false are skipped.
 */
export function patch(parent, children) {
  const focused = document.activeElement;
  const old = new Map();
  for (const node of [...parent.childNodes]) {
    if (node.patchKey === undefined || old.has(node.patchKey)) {
      node.remove();
    } else {
      old.set(node.patchKey, node);
    }
  }
  const counts = new Map();
  const present = children.flat(Infinity).filter((child) => child != null && child !== false);
  const nodes = present.map((child) => {
    const tag = child.tag ?? '#text';
    const count = (counts.get(tag) ?? 0) + 1;
    counts.set(tag, count);
    const key = `${tag} ${child.props?.key ?? count}`;
    const node = old.get(key) ?? create(tag, key);
    old.delete(key);
    if (child.tag) {
      update(node, child);
    } else if (node.data !== String(child)) {
      node.data = String(child);
    }
    return node;
  });
  old.forEach((node) => node.remove());
  nodes.forEach((node, i) => {
    if (parent.childNodes[i] !== node) {
      parent.insertBefore(node, parent.childNodes[i] ?? null);
    }
  });
  if (focused !== document.activeElement && focused?.isConnected) {
    focused.focus({preventScroll: true});
  }
}

function create(tag, key) {
  const node = tag === '#text' ? document.createTextNode('')
    : SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  node.patchKey = key;
  node.patchProps = {};
  return node;
}

function update(node, {props, children}) {
  const before = node.patchProps;
  node.patchProps = props;
  for (const name of Object.keys(before)) {
    if (!(name in props)) {
      setProperty(node, name, null);
    }
  }
  for (const [name, value] of Object.entries(props)) {
    if (name !== 'value' && before[name] !== value) {
      setProperty(node, name, value);
    }
  }
  patch(node, children);
  // After the children, because the value of a select is one of its options. A field with the focus is being edited.
  if ('value' in props && node.value !== props.value && node !== document.activeElement) {
    node.value = props.value;
  }
}

function setProperty(node, name, value) {
  if (name === 'key') {
    return;
  }
  if (name.startsWith('on')) {
    node[name] = value;
  } else if (name === 'styleHeight') {
    node.style.height = value; // the Content Security Policy forbids the attribute 'style'
  } else if (value == null || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? '' : value);
  }
}

export const byId = (id) => document.getElementById(id);
