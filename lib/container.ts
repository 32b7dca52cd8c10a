export class Container {}
