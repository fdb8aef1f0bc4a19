//! What the instructions do to the stack, to containers and to objects.

use super::call;
use super::global::Global;
use super::{Object, Result, Value, machine::Machine};

impl Machine<'_> {
    // The stack.

    pub(super) fn push(&mut self, object: Object) {
        let value = self.heap.add(object);
        self.stack.push(value);
    }

    /// The height of the stack without its `count` topmost values, which must lie above the last mark.
    pub(super) fn floor(&self, count: usize) -> Result<usize> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        self.stack
            .len()
            .checked_sub(count)
            .filter(|&start| start >= bottom)
            .ok_or_else(|| self.broken("an empty stack"))
    }

    pub(super) fn pop(&mut self) -> Result<Value> {
        let place = self.floor(1)?;
        let value = self.stack[place];
        self.stack.truncate(place);
        Ok(value)
    }

    pub(super) fn top(&self) -> Result<Value> {
        Ok(self.stack[self.floor(1)?])
    }

    pub(super) fn pop_mark(&mut self) -> Result<Vec<Value>> {
        let start = self.marks.pop().ok_or_else(|| self.broken("a missing mark"))?;
        Ok(self.stack.split_off(start))
    }

    pub(super) fn pop_text(&mut self) -> Result<String> {
        let value = self.pop()?;
        let text = self.heap.text(value).map(str::to_string);
        text.ok_or_else(|| self.broken("a name that is not text"))
    }

    pub(super) fn recall(&mut self, index: u64) -> Result<()> {
        let value = self.memo.get(&index).copied();
        self.stack.push(value.ok_or_else(|| self.broken("a memo that was never written"))?);
        Ok(())
    }

    // Containers.

    pub(super) fn pairs(&self, items: &[Value]) -> Result<Vec<(Value, Value)>> {
        if !items.len().is_multiple_of(2) {
            return Err(self.broken("a key without a value"));
        }
        Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    pub(super) fn extend_sequence(&mut self, items: Vec<Value>) -> Result<()> {
        let list = self.top()?;
        match self.heap.get_mut(list) {
            Some(Object::Sequence(all)) => all.extend(items),
            Some(Object::Inert(_)) => {}
            _ => return Err(self.broken("items for something that is not a list")),
        }
        Ok(())
    }

    pub(super) fn extend_dict(&mut self, items: &[Value]) -> Result<()> {
        let pairs = self.pairs(items)?;
        let dict = self.top()?;
        match self.heap.get_mut(dict) {
            Some(Object::Dict(all)) => all.extend(pairs),
            Some(Object::Inert(_)) => {}
            _ => return Err(self.broken("items for something that is not a dictionary")),
        }
        Ok(())
    }

    // Objects.

    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let object = match Global::find(module, name) {
            Some(global) => Object::Global(global),
            None => Object::Inert(format!("{module}.{name}")),
        };
        self.pay(&object)?;
        self.push(object);
        Ok(())
    }

    /// `callable(*arguments)`: the callable can only be a [`Global`], or inert like its result.
    pub(super) fn call(&mut self) -> Result<()> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let result = match (self.heap.get(callable), self.heap.sequence(arguments)) {
            (Some(Object::Global(global)), Some(arguments)) => {
                global.call(arguments, &self.heap).map_err(|what| self.broken(what))?
            }
            (Some(Object::Inert(name)), _) => Object::Inert(name.clone()),
            _ => return Err(self.broken("a call of something that cannot be called")),
        };
        self.pay(&result)?;
        self.push(result);
        Ok(())
    }

    /// Without this, calling `Size` on one long tuple again and again would take memory by the square of the file.
    pub(super) fn pay(&mut self, copy: &Object) -> Result<()> {
        let cost = match copy {
            Object::Sequence(items) => items.len(),
            Object::Dict(items) => items.len(),
            Object::Storage(storage) => storage.key.len(),
            Object::Tensor(view) => view.storage.key.len() + view.size.len() + view.stride.len(),
            Object::Inert(name) => name.len(),
            Object::Text(_) | Object::Bytes(_) | Object::Global(_) => 0,
        };
        self.budget =
            self.budget.checked_sub(cost).ok_or_else(|| self.broken("more copies than the file can mean"))?;
        Ok(())
    }

    /// `object.__setstate__(state)`. PyTorch hangs version numbers on its dictionaries this way; they are dropped.
    pub(super) fn build(&mut self) -> Result<()> {
        self.pop()?;
        let object = self.top()?;
        match self.heap.get(object) {
            Some(Object::Dict(_) | Object::Tensor(_) | Object::Inert(_)) => Ok(()),
            _ => Err(self.broken("state for something that has none")),
        }
    }

    pub(super) fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let storage = call::storage(id, &self.heap).map_err(|what| self.broken(what))?;
        self.pay(&storage)?;
        self.push(storage);
        Ok(())
    }
}
